/** What a violated constraint becomes: an error that names the rule, or, where no caller is at fault, itself. */
import { expect, test } from 'vitest'
import { operator, refusal } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const raise = (state: string, schema: string, constraint: string) =>
  sql`select referral_private.raise_violation(${state}, ${schema}, ${constraint}, '')`

test.for([
  ['55P03', '', '', 'busy'],
  ['23505', 'referral', 'codes_one_active', 'active_code_exists'],
  ['23514', 'referral', 'codes_reason_is_500_at_most', 'invalid_argument'],
  ['23514', 'referral_private', 'recorded_facts_provider_is_a_label', 'invalid_argument'],
  ['23514', 'referral_private', 'postings_are_exact_in_javascript', 'invalid_argument'],
] as const)('%s of %s %s is %s', async ([state, schema, constraint, code]) => {
  expect(await refusal(raise(state, schema, constraint))).toBe(code)
})

test.for([
  ['23514', 'referral_private', 'sales_are_of_something'],
  ['23505', 'referral_private', 'ledger_entries_reason_is_unique'],
  ['23503', 'referral', 'codes_belong_to_a_program'],
  ['23001', 'referral_private', ''],
] as const)(
  '%s of %s %s is a defect, and stays what it is',
  async ([state, schema, constraint]) => {
    expect(await raise(state, schema, constraint)).toHaveLength(1)
  },
)

test('a job that documents no error hides no violation', () =>
  undone(sql, async (tx) => {
    const { org, mentor } = await scene(tx)
    const { id } = await codeOf(mentor, org)
    await tx`set constraints all immediate`
    await tx`alter table referral.codes add constraint no_code_expires check (status <> 'expired')`
    await tx`update referral.codes set expires_at = clock_timestamp() where id = ${id}`
    expect(await refusal(operator(tx).rpc('expire_codes'))).toBe('23514')
  }))

test('a sum that is too large for JavaScript is refused as an argument, and nothing of it is stored', () =>
  undone(sql, async (tx) => {
    const { org, mentor, friend } = await scene(tx, {
      enrolment: 'open',
      commission: { kind: 'percent', bps: 10000 },
      recurrence: 'forever',
    })
    const { code } = await codeOf(mentor, org)
    await friend.rpc('redeem_code', { code })
    const payment = (payment_ref: string) =>
      operator(tx).rpc('record_payment', {
        org_id: org,
        provider: 'post',
        payment_ref,
        referee_id: friend.id,
        amount: String(Number.MAX_SAFE_INTEGER),
        currency: 'usd',
        paid_at: new Date().toISOString(),
      })
    await payment('1')
    expect(await refusal(payment('2'))).toBe('invalid_argument')
    expect(
      await tx`select from referral_private.recorded_facts where org_id = ${org}`,
    ).toHaveLength(1)
  }))
