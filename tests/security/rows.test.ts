/** Who sees which rows: one row in every table, and every kind of person. */
import { expect, test } from 'vitest'
import { type Actor, anonymous, operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { scene } from '../support/scene.ts'

const sql = await testDatabase()
const tables = [
  'organisations',
  'members',
  'programs',
  'program_terms',
  'codes',
  'code_quotas',
  'code_changes',
  'redemptions',
  'decisions',
  'redemption_changes',
]

/** A limited code of the mentor's that the friend has redeemed, and another organisation with its staff. */
async function stage(tx: Sql) {
  const here = await scene(tx)
  const there = await scene(tx)
  const given = { org_id: here.org, referrer_id: here.mentor.id, max_uses: 5 }
  const [code] = await here.coordinator.rpc('create_code', given)
  await here.friend.rpc('redeem_code', { code: code?.code })
  await here.coordinator.rpc('create_code', { org_id: here.org, max_uses: 5 })
  const [used] = await here.coordinator.rpc('usage_for_code', { code_id: code?.id })
  await here.admin.rpc('confirm_redemption', { redemption_id: used?.id })
  const member = person(tx)
  await here.coordinator.rpc('add_member', { org_id: here.org, user_id: member.id })
  return { ...here, there, member, code: String(code?.code) }
}

async function seen(actor: Actor, org: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const table of tables) {
    const column = table === 'organisations' ? 'id' : 'org_id'
    const rows = await actor.run(`select from referral.${table} where ${column} = '${org}'`)
    if (rows.length) counts[table] = rows.length
  }
  return counts
}

const ofPrograms = { programs: 1, program_terms: 1 }
const ofStaff = {
  organisations: 1,
  ...ofPrograms,
  codes: 2,
  code_quotas: 2,
  code_changes: 2,
  redemptions: 1,
  decisions: 1,
  redemption_changes: 1,
}
const everything = { ...ofStaff, members: 4 }
const cases: [
  string,
  (s: Awaited<ReturnType<typeof stage>>, tx: Sql) => Actor,
  Record<string, number>,
][] = [
  ['a stranger', (_, tx) => person(tx), {}],
  ['an anonymous sign-in', (_, tx) => person(tx, crypto.randomUUID(), { is_anonymous: true }), {}],
  ['the referee', (s) => s.friend, {}],
  ['the referrer', (s) => s.mentor, ofPrograms],
  ['a coordinator', (s) => s.coordinator, ofStaff],
  ['another member', (s) => s.member, ofPrograms],
  ['an admin', (s) => s.admin, everything],
  ['a coordinator of another organisation', (s) => s.there.coordinator, {}],
  ['an admin of another organisation', (s) => s.there.admin, {}],
  ['the operator', (_, tx) => operator(tx), everything],
]

test.for(cases)('%s sees what is theirs', ([, who, expected]) =>
  undone(sql, async (tx) => {
    const staged = await stage(tx)
    expect(await seen(who(staged, tx), staged.org)).toEqual(expected)
  }),
)

test('every table that is exposed has a row here', async () => {
  const rows = await sql`
    select relname as name from pg_class
    where relnamespace = 'referral'::regnamespace and relkind in ('r', 'p', 'v', 'm') order by 1`
  expect(rows.map(({ name }) => name)).toEqual(tables.toSorted())
  expect(Object.keys(everything).sort()).toEqual(tables.toSorted())
})

test('a deactivated member of staff sees only their own membership and codes, by calls', () =>
  undone(sql, async (tx) => {
    const { org, coordinator } = await stage(tx)
    await tx`update referral.members set deactivated_at = now() where user_id = ${coordinator.id}`
    expect(await seen(coordinator, org)).toEqual({})
    const [membership, ...others] = await coordinator.rpc('my_memberships')
    expect([membership, others]).toMatchObject([{ org_id: org, user_id: coordinator.id }, []])
    expect(await coordinator.rpc('list_codes', { org_id: org })).toMatchObject([
      { referrer_id: coordinator.id },
    ])
  }))

test('the anonymous role sees nothing at all', () =>
  undone(sql, async (tx) => {
    for (const table of tables) {
      expect(await refusal(anonymous(tx).run(`select from referral.${table}`))).toBe('42501')
    }
  }))

test.for(['anon', 'authenticated', 'service_role'])('%s writes no table', (role) =>
  undone(sql, async (tx) => {
    const { admin } = await stage(tx)
    const actor = { anon: anonymous(tx), authenticated: admin, service_role: operator(tx) }[
      role
    ] as Actor
    for (const table of tables) {
      for (const write of [
        `insert into referral.${table} default values`,
        `delete from referral.${table}`,
        `truncate referral.${table}`,
      ]) {
        expect(await refusal(actor.run(write)), write).toBe('42501')
      }
      const column = table === 'organisations' ? 'id' : 'org_id'
      expect(await refusal(actor.run(`update referral.${table} set ${column} = ${column}`))).toBe(
        '42501',
      )
    }
  }),
)

test('clicks, and what tells visitors apart, are shown to nobody, the operator included', () =>
  undone(sql, async (tx) => {
    const { admin, mentor } = await stage(tx)
    for (const actor of [anonymous(tx), mentor, admin, operator(tx)]) {
      for (const table of ['clicks', 'clicks_default', 'click_days', 'visitors', 'day_keys'])
        expect(await refusal(actor.run(`select from referral_private.${table}`)), table).toBe(
          '42501',
        )
    }
  }))

test('a user id in an argument counts for nobody but its owner, staff and the operator', () =>
  undone(sql, async (tx) => {
    const { org, mentor, friend, there } = await stage(tx)
    for (const forger of [friend, there.admin, person(tx)]) {
      for (const rpc of ['create_code', 'get_active_code', 'rotate_code', 'deactivate_code']) {
        expect(await refusal(forger.rpc(rpc, { org_id: org, referrer_id: mentor.id })), rpc).toBe(
          'not_a_member',
        )
      }
    }
  }))

test('a code is found by its owner and staff, and by no other member', () =>
  undone(sql, async (tx) => {
    const { code, mentor, coordinator, member } = await stage(tx)
    for (const actor of [mentor, coordinator])
      expect(await actor.rpc('find_code', { code })).toHaveLength(1)
    expect(await member.rpc('find_code', { code })).toEqual([])
  }))

test('a token without a person is nobody, and no operator', () =>
  undone(sql, async (tx) => {
    const { org, code } = await stage(tx)
    const token = person(tx, '', { sub: undefined })
    expect(await token.rpc('find_code', { code })).toEqual([])
    for (const [rpc, args] of [
      ['add_member', { org_id: org, user_id: crypto.randomUUID() }],
      ['create_code', { org_id: org }],
      ['redeem_code', { code }],
      ['my_referrals', { org_id: org }],
    ] as const) {
      expect(await refusal(token.rpc(rpc, args)), rpc).toBe('not_signed_in')
    }
  }))

test('an anonymous sign-in with the id of a member of staff does nothing of theirs', () =>
  undone(sql, async (tx) => {
    const { org, admin } = await stage(tx)
    const guest = person(tx, admin.id, { is_anonymous: true })
    for (const [rpc, args] of [
      ['add_member', { org_id: org, user_id: crypto.randomUUID() }],
      ['update_organisation', { org_id: org, changes: {} }],
      ['create_code', { org_id: org }],
      ['my_referrals', { org_id: org }],
    ] as const) {
      expect(await refusal(guest.rpc(rpc, args)), rpc).toBe('anonymous_user')
    }
  }))

test('the schema’s owner is the operator, connected directly or by set role; another login is not', () =>
  undone(sql, async (tx) => {
    const isOperator = async () => (await tx`select referral_private.is_operator() as yes`)[0]?.yes
    expect(await isOperator()).toBe(true)
    await tx`create role somebody`
    await tx`grant usage on schema referral_private to somebody`
    await tx`grant execute on function referral_private.is_operator to somebody`
    await tx`grant somebody to postgres with set true`
    await tx`set local role somebody`
    expect(await isOperator()).toBe(false)
    await tx`set local role postgres`
    expect(await isOperator()).toBe(true)
  }))

test('my_referrals lists one organisation’s only', () =>
  undone(sql, async (tx) => {
    const { org, mentor, there } = await stage(tx)
    await there.admin.rpc('add_member', { org_id: there.org, user_id: mentor.id })
    const [code] = await mentor.rpc('create_code', { org_id: there.org })
    await person(tx).rpc('redeem_code', { code: code?.code })
    for (const id of [org, there.org])
      expect(await mentor.rpc('my_referrals', { org_id: id })).toHaveLength(1)
    expect(await refusal(mentor.rpc('my_referrals', { org_id: null }))).toBe('invalid_argument')
  }))
