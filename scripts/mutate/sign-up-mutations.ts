import type { TextMutation } from './mutation.ts'

/** Promises about uses that sign-ups reserve. */
export const signUpMutations: TextMutation[] = [
  {
    name: 'lock: the quota before it is counted',
    in: 'lock_uses_left',
    replace: 'for no key update',
    by: '',
    tests: ['tests/concurrency/sign-ups'],
  },
  {
    name: 'lock: the code of a sign-up',
    in: 'require_code_at_sign_up',
    replace: 'for share of c',
    by: '',
    tests: ['tests/concurrency/sign-ups'],
  },
  {
    name: 'sign-up: the hook reserves',
    in: 'require_code_at_sign_up',
    replace: "and referral_private.reserve_use(v_code, (event -> 'user' ->> 'id')::uuid)",
    by: '',
  },
  {
    name: 'sign-up: busy in time',
    in: 'require_code_at_sign_up',
    replace: 'when lock_not_available then',
    by: 'when division_by_zero then',
    tests: ['tests/concurrency/sign-ups'],
  },
  {
    name: 'sign-up: reserved uses count',
    in: 'reserved_uses',
    replace: 'else count(*) end',
    by: 'else 0 end',
  },
  {
    name: 'sign-up: one’s own reservation',
    in: 'reserved_uses',
    replace: 'case when bool_or(r.user_id = p_user_id) then 0 else count(*) end',
    by: 'count(*)',
  },
  {
    name: 'sign-up: the hour',
    in: 'reserved_uses',
    replace: 'and r.expires_at > clock_timestamp()',
    by: '',
  },
  {
    name: 'sign-up: the use takes the reservation’s place',
    in: 'use_quota',
    replace: 'delete from referral_private.sign_up_reservations as r\n    where',
    by: 'perform from referral_private.sign_up_reservations as r\n    where',
  },
  {
    name: 'sign-up: what links show',
    in: 'has_free_use',
    replace: 'referral_private.reserved_uses(p_org_id, p_chain_id, p_user_id)',
    by: '0',
  },
  {
    name: 'sign-up: a claim is kept while uses are reserved',
    in: 'refuse_use',
    replace: "'code_uses_reserved'",
    by: "'code_limit_reached'",
  },
  {
    name: 'sign-up: a claim that ends frees its use',
    in: 'redeem_sign_up_code',
    replace: 'delete from referral_private.sign_up_reservations as r where',
    by: 'perform from referral_private.sign_up_reservations as r where',
  },
]
