/** The errors that the comment of an RPC states are those that it can raise, and the reverse. */
import { expect, test } from 'vitest'
import { calls } from '../support/calls.ts'
import { testDatabase } from '../support/database.ts'
import { raisedErrors } from '../support/raised-errors.ts'

const sql = await testDatabase()
const raised = await raisedErrors(sql)

const byStaff = ['not_signed_in', 'anonymous_user', 'organisation_not_found', 'member_not_found']

/** What a function that an RPC calls can raise, and this RPC cannot, and why. */
const unreachable: Record<string, [codes: string[], reason: string]> = {
  create_campaign_code: [
    ['active_code_exists', 'member_not_found', 'rate_limited'],
    'the code has no referrer, and the member who is locked is the caller',
  ],
  end_code: [byStaff, 'code_not_found comes first, and the referrer of a code is a member'],
  suspend_code: [byStaff, 'as end_code'],
  reactivate_code: [byStaff, 'as end_code'],
  update_code: [byStaff, 'as end_code'],
  get_or_create_code: [
    [
      'not_a_member',
      'not_allowed',
      'member_not_found',
      'active_code_exists',
      'code_taken',
      'code_reserved',
      'code_looks_alike',
      'invalid_code',
    ],
    'the caller acts for themself, is made a member first, and cannot choose the text',
  ],
  list_codes: [['not_a_member', 'not_allowed'], 'who is not staff is shown their own codes'],
  rotate_code: [['active_code_exists'], 'the active code retires in the same transaction'],
  update_program: [
    ['not_signed_in', 'anonymous_user', 'not_a_member', 'organisation_not_found'],
    'program_not_found comes first',
  ],
  confirm_redemption: [
    ['not_signed_in', 'anonymous_user', 'organisation_not_found', 'invalid_event'],
    'redemption_not_found comes first',
  ],
  reject_redemption: [
    ['not_signed_in', 'anonymous_user', 'organisation_not_found', 'invalid_event'],
    'as confirm_redemption',
  ],
  withdraw_decision: [
    ['not_signed_in', 'anonymous_user', 'organisation_not_found', 'invalid_event'],
    'decision_not_found comes first',
  ],
  settle_stripe_events: [['invalid_event'], 'an event of the inbox was read when it came'],
  run_maintenance: [['invalid_event'], 'as settle_stripe_events'],
  deactivate_member: [['invalid_event'], 'as settle_stripe_events'],
  forfeit_from: [['invalid_event'], 'as settle_stripe_events'],
  import_codes: [['invalid_event'], 'as settle_stripe_events'],
  reactivate_member: [['invalid_event'], 'as settle_stripe_events'],
  reject_referral: [['invalid_event'], 'as settle_stripe_events'],
  update_organisation: [['invalid_event'], 'as settle_stripe_events'],
  redeem_sign_up_code: [
    [
      'self_referral',
      'new_users_only',
      'code_not_found',
      'code_inactive',
      'code_expired',
      'code_limit_reached',
      'already_redeemed',
      'mutual_referral',
      'invalid_argument',
      'invalid_code',
      'invalid_click',
    ],
    'a refusal that can never pass ends the claim, and there is no row',
  ],
}

const stated = new Map(
  (
    await sql`
      select proname as name, obj_description(oid, 'pg_proc') as comment from pg_proc
      where pronamespace = 'referral'::regnamespace`
  ).map(({ name, comment }) => {
    const [, list = ''] = /^Errors: ([^.]*)\./m.exec(String(comment)) ?? []
    return [String(name), list.split(/,\s+/).filter(Boolean).sort()] as const
  }),
)

test.for([...stated])('%s', ([name, errors]) => {
  const [except = []] = unreachable[name] ?? []
  const expected = [...(raised.get(name) ?? [])].filter((code) => !except.includes(code))
  expect(errors).toEqual(expected.sort())
})

test('what is listed as unreachable is found', () => {
  const idle = Object.entries(unreachable).flatMap(([name, [codes]]) =>
    codes.filter((code) => !raised.get(name)?.has(code)).map((code) => `${name}: ${code}`),
  )
  expect(idle).toEqual([])
})

test('every error that the matrix of calls meets is stated', () => {
  const met = Object.entries(calls).flatMap(([name, { answers }]) =>
    Object.values(answers)
      .filter((answer) => !['ok', 'none', 'denied'].includes(answer))
      .filter((answer) => !stated.get(name)?.includes(answer))
      .map((answer) => `${name}: ${answer}`),
  )
  expect(met).toEqual([])
})
