/** What a violated constraint becomes: an error that names the rule, or, where no caller is at fault, itself. */
import { expect, test } from 'vitest'
import { details, operator, refusal } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { codeOf, type Scene, scene } from '../support/scene.ts'

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
    expect(await details(payment('2'))).toBe(
      'amount: small enough that no sum exceeds 9,007,199,254,740,991',
    )
    expect(
      await tx`select from referral_private.recorded_facts where org_id = ${org}`,
    ).toHaveLength(1)
  }))

/** Constraints that no call can violate by a value that it was given. */
const ofRows = [
  'codes_ended_say_when',
  'codes_only_rotated_have_grace',
  'codes_rotated_are_replaced',
  'codes_rotation_is_counted',
  'codes_unrotated_begin_their_chain',
  'decisions_confirm_a_redemption',
  'decisions_forfeit_by_block',
  'decisions_forfeit_from_a_time',
  'decisions_forfeit_of_a_member_or_a_code',
  'decisions_name_the_referee',
  'decisions_of_a_person_in_a_program',
  'decisions_of_a_program_unless_forfeit',
  'decisions_withdrawn_say_when',
  'program_terms_end_after_they_begin',
  'program_terms_version_is_positive',
  'recorded_facts_kind_is_known',
  'redemptions_clicked_say_when',
  'redemptions_confirmed_say_when',
  'redemptions_decided_say_when',
  'redemptions_no_self_referral',
  'redemptions_pending_are_unconfirmed',
  'redemptions_proved_by_a_click',
  'redemptions_rejected_by_decision',
]

test('every other constraint has a comment that names the argument, and says what it must be', async () => {
  const rows = await sql`
    select conname as name, obj_description(oid, 'pg_constraint') as rule from pg_constraint
    where contype = 'c' and (connamespace = 'referral'::regnamespace or conname like 'recorded\\_facts\\_%')
    order by conname collate "C"`
  expect(rows.filter(({ rule }) => rule === null).map(({ name }) => name)).toEqual(ofRows)
  const names = await sql`
    select unnest(proargnames) as name from pg_proc where pronamespace = 'referral'::regnamespace
    union
    select attname from pg_attribute where attrelid = 'referral.organisations'::regclass`
  const known = new Set(names.map(({ name }) => name))
  const named = rows.flatMap(
    ({ rule }) =>
      String(rule ?? '')
        .split(': ')[0]
        ?.split(', ') ?? [],
  )
  expect(named.filter((name) => name && !known.has(name))).toEqual([])
})

const paid = { amount: 1, currency: 'usd', paid_at: '2026-01-01' }
const calls: [string, string, (people: Scene) => [by: 'admin' | 'operator', args: object]][] = [
  [
    'forfeit_from',
    'until: later than since, by a second or more',
    ({ org, mentor }) => [
      'admin',
      { org_id: org, member_id: mentor.id, since: '2026-01-02', until: '2026-01-02' },
    ],
  ],
  [
    'record_payment',
    'provider: 1 to 32 of a to z, 0 to 9 and _',
    ({ org, friend }) => [
      'operator',
      { org_id: org, provider: 'The Store', payment_ref: '1', referee_id: friend.id, ...paid },
    ],
  ],
  [
    'record_payment',
    'payment_ref, refund_ref: 1 to 255 visible characters of ASCII',
    ({ org, friend }) => [
      'operator',
      { org_id: org, provider: 'post', payment_ref: '', referee_id: friend.id, ...paid },
    ],
  ],
  [
    'create_program',
    'key: lower-case letters and digits, with single hyphens or underscores between them',
    ({ org }) => ['admin', { org_id: org, key: 'No Key', name: 'Other' }],
  ],
  [
    'update_organisation',
    'code_length: 8 to 16',
    ({ org }) => ['admin', { org_id: org, changes: { code_length: 7 } }],
  ],
  [
    'set_my_name',
    'public_name: true only with a display_name',
    ({ org }) => ['admin', { org_id: org, display_name: null, public_name: true }],
  ],
]

test.for(calls)('the details of a refused argument name it: %s, %s', ([rpc, expected, given]) =>
  undone(sql, async (tx) => {
    const people = await scene(tx)
    const [by, args] = given(people)
    const caller = by === 'admin' ? people.admin : operator(tx)
    expect(await details(caller.rpc(rpc, { ...args }))).toBe(expected)
  }),
)
