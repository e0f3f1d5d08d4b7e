import type { TextMutation } from './mutation.ts'

/** Locks, and who waits for them. */
export const lockMutations: TextMutation[] = [
  { name: 'lock: the member row', in: 'lock_member', replace: 'for no key update', by: '' },
  { name: 'lock: the code row while redeeming', in: 'redeem_code', replace: 'for share', by: '' },
  {
    name: 'lock: the account, exclusive',
    in: 'lock_stripe_account',
    replace: 'pg_advisory_xact_lock(',
    by: 'abs(',
  },
  {
    name: 'lock: the account, shared',
    in: 'lock_stripe_account_to_redeem',
    replace: 'perform pg_advisory_xact_lock_shared(',
    by: 'perform abs(',
  },
  {
    name: 'lock: the account, upgraded in place',
    in: 'lock_stripe_account_to_redeem',
    replace: "raise sqlstate 'RB001';",
    by: 'perform referral_private.lock_stripe_account(p_stripe_account); return true;',
  },
  {
    name: 'lock: the organisation that keeps an admin',
    in: 'lock_member_to_manage',
    replace: 'perform from referral.organisations as o where o.id = p_org_id for no key update;',
    by: '',
    tests: ['tests/concurrency/management', 'tests/concurrency/roles'],
  },
  {
    name: 'lock: the code that is rotated',
    in: 'rotate_code',
    replace: 'for no key update',
    by: '',
  },
  {
    name: 'busy instead of 55P03',
    in: 'raise_violation',
    replace: "when '55P03' then\n      v_code := 'busy';",
    by: "when '55P03' then\n      return;",
  },
  {
    name: 'lock: the account, by staff who choose a text',
    in: 'ready_to_choose',
    replace: 'referral_private.share_stripe_account_of(p_org_id)',
    by: 'p_org_id',
    tests: ['tests/concurrency/codes'],
  },
  {
    name: 'lock: the account, by the operator who imports',
    in: 'store_import',
    replace: 'referral_private.lock_stripe_account_of(p_org_id)',
    by: 'referral_private.stripe_account_of(p_org_id)',
    tests: ['tests/concurrency/codes'],
  },
  {
    name: 'batch: one at a time',
    in: 'begin_batch',
    replace: "not pg_try_advisory_xact_lock(hashtextextended('referral.batch:' || p_org_id, 0))",
    by: 'false',
    tests: ['tests/concurrency/batches'],
  },
  {
    name: 'batch: the rows of 24 hours',
    in: 'begin_batch',
    replace: 'not referral_private.is_operator() and',
    by: 'false and',
    tests: ['tests/sql/batches'],
  },
  {
    name: 'batch: rows of another organisation',
    in: 'begin_batch',
    replace: 'b.org_id = p_org_id and',
    by: '',
    tests: ['tests/sql/batches'],
  },
  {
    name: 'batch: the operator is not counted',
    in: 'begin_batch',
    replace: 'b.asked_by is not null and',
    by: '',
    tests: ['tests/sql/batches'],
  },
  {
    name: 'batch: purchases under way beside an import',
    in: 'store_import',
    replace: "if referral_private.carried_keys(p_keys) <> '{}' then",
    by: 'if false then',
    tests: ['tests/concurrency/batches'],
  },
  {
    name: 'lock: the off switch',
    in: 'update_organisation',
    replace: 'perform referral_private.lock_stripe_account_of(p_org_id);',
    by: '',
  },
]
