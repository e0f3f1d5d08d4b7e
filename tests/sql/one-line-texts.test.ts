/** Texts that people give and others read are one line that shows as it is written. Nothing is rewritten, only refused. */
import { expect, test } from 'vitest'
import { type Actor, details, operator, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { codeOf, type Scene, scene } from '../support/scene.ts'

const sql = await testDatabase()

test('is_one_line refuses what Unicode calls a control, a separator or a bidirectional control, and nothing else', async () => {
  const rows = await sql`
    select c as point from generate_series(1, ${0x10ffff}) as c
    where c not between ${0xd800} and ${0xdfff} and not referral_private.is_one_line(chr(c))`
  const refused = /^[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]$/u
  const expected = Array.from({ length: 0x10ffff }, (_, n) => n + 1).filter(
    (point) => !(point >= 0xd800 && point <= 0xdfff) && refused.test(String.fromCodePoint(point)),
  )
  expect(rows.map(({ point }) => point)).toEqual(expected)
  expect(expected).toHaveLength(31 + 33 + 2 + 12)
})

/** An argument that takes a text: who gives it, in which call. */
type Text = [argument: string, rpc: string, by: keyof People, args: (people: People) => object]
type People = Scene & { operator: Actor; codeId: string; redemption: string; decision: string }

async function people(tx: Sql): Promise<People> {
  const here = await scene(tx)
  const { id, code } = await codeOf(here.mentor, here.org)
  const [redeemed] = await here.friend.rpc('redeem_code', { code })
  const forfeit = { org_id: here.org, member_id: here.mentor.id }
  const [decision] = await operator(tx).rpc('forfeit_from', forfeit)
  return {
    ...{ ...here, operator: operator(tx), codeId: id },
    redemption: String(redeemed?.redemption_id),
    decision: String(decision?.id),
  }
}

const org = ({ org }: People) => ({ org_id: org })
const member = ({ org, mentor }: People) => ({ org_id: org, user_id: mentor.id })
const code = ({ codeId }: People) => ({ code_id: codeId })
const redemption = ({ redemption }: People) => ({ redemption_id: redemption })

const texts: Text[] = [
  [
    'name',
    'create_organisation',
    'operator',
    ({ admin }) => ({ slug: 'other', admin_id: admin.id }),
  ],
  ['name', 'update_organisation', 'admin', org],
  ['name', 'create_program', 'admin', (p) => ({ ...org(p), key: 'other' })],
  ['name', 'update_program', 'admin', ({ program }) => ({ program_id: program })],
  ['display_name', 'set_my_name', 'mentor', org],
  ['description', 'create_code', 'coordinator', org],
  ['description', 'create_campaign_code', 'coordinator', org],
  ['description', 'generate_codes', 'coordinator', (p) => ({ ...org(p), count: 2 })],
  ['description', 'update_code', 'coordinator', code],
  ['reason', 'rotate_code', 'mentor', org],
  ['reason', 'deactivate_code', 'mentor', org],
  ['reason', 'suspend_code', 'coordinator', code],
  ['reason', 'end_code', 'coordinator', code],
  ['reason', 'deactivate_member', 'coordinator', member],
  ['reason', 'confirm_redemption', 'coordinator', redemption],
  ['reason', 'reject_redemption', 'coordinator', redemption],
  [
    'reason',
    'reject_referral',
    'coordinator',
    ({ org, program, friend }) => ({ org_id: org, program_id: program, person_id: friend.id }),
  ],
  [
    'reason',
    'forfeit_from',
    'coordinator',
    ({ org, mentor }) => ({ org_id: org, member_id: mentor.id }),
  ],
  ['reason', 'withdraw_decision', 'admin', ({ decision }) => ({ decision_id: decision })],
]

/** The text as the call takes it: most in an argument, some in `changes`. */
const given = (rpc: string, argument: string, text: string) =>
  /^update_/.test(rpc) ? { changes: { [argument]: text } } : { [argument]: text }

const foul = {
  'a new line': 'Olivia\nPaid 500',
  'a tab': 'Olivia\tPaid',
  'an escape sequence': 'Olivia\u001b[31m',
  'a control of C1': 'Olivia\u009b31m',
  'a line separator': 'Olivia\u2028Paid',
  'a paragraph separator': 'Olivia\u2029Paid',
  'an override of the direction': 'Olivia\u202eDIAP',
  'an isolate': 'Olivia\u2066Paid\u2069',
  'a mark of the direction': 'Olivia\u200f',
}

test.for(texts)('%s of %s is refused by name where it is no line', ([argument, rpc, by, args]) =>
  undone(sql, async (tx) => {
    const who = await people(tx)
    for (const [what, text] of Object.entries(foul)) {
      const call = () =>
        (who[by] as Actor).rpc(rpc, { ...args(who), ...given(rpc, argument, text) })
      expect(await refusal(call()), what).toBe('invalid_argument')
      expect(await details(call()), what).toBe(
        `${argument}: one line, without control and bidirectional characters`,
      )
    }
  }),
)

const fair = {
  'a name with a zero-width non-joiner': 'علی\u200cرضا',
  'a name with a zero-width joiner': 'ශ්\u200dරී ලංකා',
  'a family of emoji': '👩\u200d👩\u200d👧\u200d👦 und wir',
  'a flag of tags': '🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}',
  'Hebrew and Latin': 'דנה (Dana) 2030',
  'combining accents': 'Zoe\u0308 Nguye\u0302\u0303n',
  'a no-break space and a soft hyphen': 'Anna\u00a0Lena Haupt\u00adstadt',
}

test.for(Object.entries(fair))('%s is stored as it is given', ([, text]) =>
  undone(sql, async (tx) => {
    const who = await people(tx)
    const named = await who.mentor.rpc('set_my_name', { ...org(who), display_name: text })
    expect(named).toMatchObject([{ display_name: text }])
    const described = { ...code(who), changes: { description: text } }
    expect(await who.coordinator.rpc('update_code', described)).toMatchObject([
      { description: text },
    ])
    const suspended = await who.coordinator.rpc('suspend_code', { ...code(who), reason: text })
    expect(suspended).toMatchObject([{ reason: text }])
  }),
)

test('a member and a code that come back do so without a foul reason', () =>
  undone(sql, async (tx) => {
    const who = await people(tx)
    await who.coordinator.rpc('suspend_code', code(who))
    const reason = foul['an isolate']
    const again = who.coordinator.rpc('reactivate_code', { ...code(who), reason })
    expect(await refusal(again)).toBe('invalid_argument')
    await who.coordinator.rpc('deactivate_member', member(who))
    const back = who.coordinator.rpc('reactivate_member', { ...member(who), reason })
    expect(await refusal(back)).toBe('invalid_argument')
  }))

test('a row of an import says where its description is foul', () =>
  undone(sql, async (tx) => {
    const { coordinator, org } = await scene(tx)
    const rows = [
      { code: 'ONE', description: 'Summer ☀️' },
      ...Object.values(foul).map((description, n) => ({ code: `FOUL-${n}`, description })),
    ]
    const [refused] = await coordinator.rpc('import_codes', { org_id: org, rows })
    const fault = {
      ...{ column: 'description', code: 'invalid_argument' },
      details: 'one line of up to 500 characters, without control and bidirectional characters',
    }
    expect(refused?.rows).toEqual(
      Object.keys(foul).map((_, n) => ({ row: n + 2, code: `FOUL-${n}`, faults: [fault] })),
    )
  }))

/** Texts in tables of `referral` that nobody can write freely: each has a form of its own, or is a copy. */
const notFree: Record<string, string> = {
  'organisations.slug': 'a label',
  'organisations.stripe_account_id': 'an id',
  'organisations.link_origin': 'an address',
  'organisations.web_destination': 'an address',
  'organisations.ios_destination': 'an address',
  'organisations.android_destination': 'an address',
  'organisations.android_package': 'a name of a package',
  'organisations.time_zone': 'a name that Postgres knows',
  'programs.key': 'a label',
  'codes.code': 'the shown form of a code: capitals, digits and hyphens',
  'codes.code_key': 'the normal form of a code',
  'redemptions.channel': 'a label',
  'code_changes.reason': 'copied from codes',
  'redemption_changes.reason': 'copied from redemptions',
}

test('every text that a person can read is one line, or is listed with its form', async () => {
  const rows = await sql`
    select c.relname || '.' || a.attname as name, exists (
        select from pg_constraint as k
        where k.conrelid = c.oid and a.attnum = any (k.conkey)
          and pg_get_constraintdef(k.oid) like '%is_one_line(' || a.attname || ')%'
      ) as checked
    from pg_attribute as a join pg_class as c on c.oid = a.attrelid
    where c.relnamespace = 'referral'::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0
      and a.atttypid = 'text'::regtype`
  const named = (checked: boolean) =>
    rows.filter((row) => row.checked === checked).map((row) => String(row.name))
  expect(named(false).sort()).toEqual(Object.keys(notFree).sort())
  expect(named(true)).toHaveLength(9)
})
