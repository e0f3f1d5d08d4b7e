import type { TextMutation } from './mutation.ts'

const events = ['tests/sql/waiting-events']
const payers = ['tests/sql/waiting-payers']

const of = (
  name: string,
  inFunction: string,
  replace: string,
  by: string,
  tests: string[],
): TextMutation => ({ name: `waiting: ${name}`, in: inFunction, replace, by, tests })

/** Promises about what waits: events that are stored, and payers whose settlement is too much at once. */
export const waitingMutations: TextMutation[] = [
  of(
    'a stored event',
    'ingest_stripe_event',
    'perform referral_private.apply_later(v_stated);',
    'null;',
    events,
  ),
  of(
    'a delivery that comes again while it waits',
    'ingest_stripe_event',
    "elsif v_status = 'duplicate' and referral_private.is_unapplied",
    'elsif false and referral_private.is_unapplied',
    events,
  ),
  of(
    'the account lock of a settlement',
    'settle_stripe_events',
    'perform referral_private.lock_stripe_account(p_stripe_account);',
    'null;',
    ['tests/concurrency/locks'],
  ),
  of(
    'an account that somebody has',
    'lock_longest_waiting',
    'if pg_try_advisory_xact_lock(referral_private.stripe_account_lock_key(v_stripe_account)) then',
    'perform pg_advisory_xact_lock(referral_private.stripe_account_lock_key(v_stripe_account)); if true then',
    events,
  ),
  of(
    'an event that is applied',
    'apply_waiting',
    'where not (e.stated).event_id = any (v_unapplied)',
    'where false',
    events,
  ),
  of('those that failed', 'apply_waiting', '(p_retry or u.error is null)', 'true', events),
  of('two hundred', 'apply_waiting', 'limit p_max', 'limit p_max + 1', events),
  of(
    'one that stops no other',
    'apply_events',
    'elsif v_count > 1 then',
    'elsif false then',
    events,
  ),
  of(
    'errors of the moment',
    'is_passing_error',
    "in ('40', '53', '55', '57', '58')",
    "in ('40', '53')",
    events,
  ),
  of(
    'a time-out',
    'apply_events',
    'when query_canceled or others then',
    'when others then',
    events,
  ),
  of(
    'faults of ours are not parked',
    'is_data_error',
    "in ('42846', '23502', '23514')",
    "in ('42846', '23502', '23514', '23505')",
    events,
  ),
  of(
    'its own cause',
    'causes_of_sales',
    'if cardinality(p_touched) = 0 then',
    'if true then',
    events,
  ),
  of(
    'too many payers',
    'settle',
    'if cardinality(p_payer_ids) > referral_private.settled_at_once() then',
    'if false then',
    payers,
  ),
  of(
    'too many sales',
    'settle_at_once',
    'if p_may_wait and cardinality(v_sales) > 4 * v_max then',
    'if false then',
    payers,
  ),
  of(
    'too many who move in rank',
    'settle_at_once',
    'if cardinality(v_moved) + cardinality(v_payers) > v_max then',
    'if false then',
    payers,
  ),
  of(
    'too many differences',
    'post_differences',
    'v_differences := v_differences[:p_max];',
    '',
    payers,
  ),
  of(
    'differences that are left',
    'post_differences',
    'return v_are_left;',
    'return false;',
    payers,
  ),
  of(
    'payers that are settled meanwhile',
    'settled_now',
    'if exists (',
    'if false and exists (',
    payers,
  ),
  of(
    'a sale that is gone',
    'settle_waiting',
    'select unnest(v_piece.ids)\n',
    'select null where false\n',
    payers,
  ),
  of(
    'a release of payers that wait',
    'release_due_commissions',
    'where q.payer_id = s.payer_id',
    'where false',
    payers,
  ),
  of(
    'verified later',
    'faults_of_sales',
    "where a.fault = 'entries' or not a.sale_id = any (v_waiting)",
    '',
    payers,
  ),
  of('what earners are told', 'is_settlement_pending', ') or exists (', ') and exists (', payers),
]
