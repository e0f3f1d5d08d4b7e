import type { TextMutation } from './mutation.ts'

/** Promises about events, and what they settle. */
export const eventMutations: TextMutation[] = [
  {
    name: 'events: the inbox',
    in: 'receive',
    replace: 'if v_is_new is null then',
    by: 'if false then',
  },
  {
    name: 'events: a parked event that comes again',
    in: 'ingest_stripe_event',
    replace: 'and referral_private.is_parked(v_stated)',
    by: 'and false',
  },
  {
    name: 'events: the account lock',
    in: 'ingest_stripe_event',
    replace:
      'pg_try_advisory_xact_lock(referral_private.stripe_account_lock_key(v_stated.stripe_account))',
    by: 'true',
  },
  {
    name: 'events: a lock per payment instead',
    in: 'ingest_stripe_event',
    replace:
      'pg_try_advisory_xact_lock(referral_private.stripe_account_lock_key(v_stated.stripe_account))',
    by: "pg_try_advisory_xact_lock(referral_private.stripe_account_lock_key(coalesce(p_event #>> '{data,object,customer}', p_event #>> '{data,object,id}')))",
  },
  {
    name: 'events: a lock per name in the event instead',
    in: 'ingest_stripe_event',
    replace:
      'pg_try_advisory_xact_lock(referral_private.stripe_account_lock_key(v_stated.stripe_account))',
    by: "(select bool_and(pg_try_advisory_xact_lock(referral_private.stripe_account_lock_key(v_name))) from (select distinct v_name from jsonb_path_query(p_event -> 'data' -> 'object', '$.** ? (@.type() == \"string\")') as value (v), lateral (select v #>> '{}') as named (v_name) where v_name ~ '^(cus|in|pi|ch|py|re|du|sub)_' order by v_name) as named)",
  },
  {
    name: 'events: what is carried anew',
    in: 'apply_together',
    replace: 'v_touched.carriers, v_sales)',
    by: "'{}', '{}')",
  },
  {
    name: 'events: payment links',
    in: 'payer_named',
    replace: "when v_object ->> 'payment_link' is null then",
    by: 'when true then',
  },
  {
    name: 'events: the greatest statement',
    in: 'store_payments',
    replace: 'order by g.paid desc, g.stated_at desc, g.stated_by desc',
    by: 'order by g.paid, g.stated_at, g.stated_by',
  },
  {
    name: 'events: the time of sale',
    in: 'store_payments',
    replace: 'sale_at = least(p.sale_at, excluded.sale_at)',
    by: 'sale_at = excluded.sale_at',
  },
  {
    name: 'settling: decisions of staff',
    in: 'settle_redemptions',
    replace: 'where d.decision is null',
    by: '',
  },
  {
    name: 'settling: a change of account',
    in: 'change_stripe_account',
    replace: 'perform referral_private.settle_organisation',
    by: 'perform cardinality(array[v_old, v_new]); --',
  },
  {
    name: 'settling: whose sale a promotion code says',
    in: 'state_promotion_code',
    replace: 'referral_private.payments_of_others(v_evidence)',
    by: "'{}'::text[]",
    tests: ['tests/sql/settling'],
  },
  {
    name: 'settling: sales that did not change',
    in: 'apply_together',
    replace: 'v_payers, v_changed.sale_ids,',
    by: 'v_payers, v_sales,',
  },
  {
    name: 'settling: whom a sale that is gone linked',
    in: 'settle_at_once',
    replace: 'p_payer_ids || p_sale_ids;',
    by: 'p_payer_ids;',
  },
  {
    name: 'settling: a refund of a linked payer',
    in: 'payers_together',
    replace: 'if cardinality(v_users) > 0 then',
    by: 'if false then',
  },
  {
    name: 'settling: a promotion code stated again',
    in: 'state_promotion_code',
    replace: 'v_key is distinct from v_known\n',
    by: 'true\n',
  },
  {
    name: 'settling: users of all links',
    in: 'settle_redemptions',
    replace: 'r.referee_id = any (v_user_ids)',
    by: 'r.referee_id = any (array(select p.person from unnest((p_settled.together).payers) as p))',
    tests: ['tests/properties/told', 'tests/properties/mixed-events'],
  },
  {
    name: 'settling: payments before',
    in: 'payers_touched',
    replace: '|| referral_private.payers_with_history(p_stripe_account, p_livemode, p_touched)',
    by: '',
  },
]
