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
    in: 'import_codes',
    replace: 'referral_private.lock_stripe_account_of(p_org_id)',
    by: 'referral_private.stripe_account_of(p_org_id)',
    tests: ['tests/concurrency/codes'],
  },
  {
    name: 'lock: the off switch',
    in: 'update_organisation',
    replace: 'perform referral_private.lock_stripe_account_of(p_org_id);',
    by: '',
  },
]
