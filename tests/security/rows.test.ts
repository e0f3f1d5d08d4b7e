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
  'redemptions',
]

/** A limited code of the mentor's that the friend has redeemed, and another organisation with its staff. */
async function stage(tx: Sql) {
  const here = await scene(tx)
  const there = await scene(tx)
  const given = { org_id: here.org, referrer_id: here.mentor.id, max_uses: 5 }
  const [code] = await here.coordinator.rpc('create_code', given)
  await here.friend.rpc('redeem_code', { code: code?.code })
  return { ...here, there }
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
const ofStaff = { organisations: 1, ...ofPrograms, codes: 1, code_quotas: 1, redemptions: 1 }
const cases: [
  string,
  (s: Awaited<ReturnType<typeof stage>>, tx: Sql) => Actor,
  Record<string, number>,
][] = [
  ['a stranger', (_, tx) => person(tx), {}],
  ['an anonymous sign-in', (_, tx) => person(tx, crypto.randomUUID(), { is_anonymous: true }), {}],
  ['the referee', (s) => s.friend, {}],
  ['the referrer', (s) => s.mentor, { members: 1, ...ofPrograms, codes: 1, code_quotas: 1 }],
  ['a coordinator', (s) => s.coordinator, { ...ofStaff, members: 1 }],
  ['an admin', (s) => s.admin, { ...ofStaff, members: 3 }],
  ['a coordinator of another organisation', (s) => s.there.coordinator, {}],
  ['an admin of another organisation', (s) => s.there.admin, {}],
  ['the operator', (_, tx) => operator(tx), { ...ofStaff, members: 3 }],
]

test.for(cases)('%s sees what is theirs', ([, who, expected]) =>
  undone(sql, async (tx) => {
    const staged = await stage(tx)
    expect(await seen(who(staged, tx), staged.org)).toEqual(expected)
  }),
)

test('a deactivated member of staff sees only their own member row and codes', () =>
  undone(sql, async (tx) => {
    const { org, coordinator } = await stage(tx)
    await tx`update referral.members set deactivated_at = now() where user_id = ${coordinator.id}`
    expect(await seen(coordinator, org)).toEqual({ members: 1 })
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

test('reads run in a read-only transaction, as on a replica', () =>
  undone(sql, async (tx) => {
    const { org, mentor } = await stage(tx)
    await tx`set constraints all immediate`
    await tx`set transaction read only`
    for (const [rpc, args] of [
      ['get_active_code', { org_id: org }],
      ['find_code', { code: 'ABC' }],
      ['resolve_code', { code: 'ABC' }],
      ['my_referrals', { org_id: org }],
    ] as const) {
      expect(Array.isArray(await mentor.rpc(rpc, args)), rpc).toBe(true)
    }
  }))
