/** Which programs and terms a member reads: those whom staff have added all, those who enrolled by themselves their own. */
import { describe, expect, test } from 'vitest'
import { type Actor, operator, person, refusal } from '../support/actors.ts'
import { calls } from '../support/calls.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { scene } from '../support/scene.ts'
import { shown } from '../support/shown.ts'
import { stage } from '../support/stage.ts'

const sql = await testDatabase()
const open = { enrolment: 'open' }

/** Three programs: `friends` with open enrolment, in which the friend has a code; `fans` likewise, without; `partners` by invitation. */
async function programs(tx: Sql) {
  const here = await scene(tx)
  const { org, admin, friend, program: friends } = here
  const made = async (key: string, terms: object) => {
    const [row] = await admin.rpc('create_program', { org_id: org, key, name: key, terms })
    return String(row?.id)
  }
  const [fans, partners] = [await made('fans', open), await made('partners', {})]
  await friend.rpc('get_or_create_code', { org_id: org })
  const change = (program_id: string, changes: object) =>
    admin.rpc('update_program', { program_id, changes })
  await change(partners, { terms: { hold_days: 30 } })
  return {
    ...here,
    friends,
    fans,
    partners,
    change,
    close: (id: string) => change(id, { terms: { enrolment: 'invited' } }),
  }
}

/** The programs that somebody reads, each with how many versions of its terms. */
async function read(actor: Actor, org: string): Promise<Record<string, number>> {
  const rows = await actor.run(
    `select p.key, count(t.version)::int as versions from referral.programs as p
     left join referral.program_terms as t on t.program_id = p.id
     where p.org_id = $1 group by p.key order by p.key`,
    [org],
  )
  const terms = await actor.run(
    'select count(distinct program_id)::int as programs from referral.program_terms where org_id = $1',
    [org],
  )
  expect(terms).toEqual([{ programs: rows.length }])
  return Object.fromEntries(rows.map(({ key, versions }) => [key, Number(versions)]))
}

const all = { fans: 1, friends: 1, partners: 2 }

describe('a member who enrolled by themself', () => {
  test('reads the programs that are open, and none by invitation', () =>
    undone(sql, async (tx) => {
      const { org, friend } = await programs(tx)
      expect(await read(friend, org)).toEqual({ fans: 1, friends: 1 })
    }))

  test('reads an open program that is switched off', () =>
    undone(sql, async (tx) => {
      const { org, friend, fans, change } = await programs(tx)
      await change(fans, { active: false })
      expect(await read(friend, org)).toEqual({ fans: 1, friends: 1 })
    }))

  test('goes on to read the program of their code once enrolment is closed, also when the code has ended', () =>
    undone(sql, async (tx) => {
      const { org, friend, friends, fans, close } = await programs(tx)
      await close(fans)
      await close(friends)
      expect(await read(friend, org)).toEqual({ friends: 2 })
      await friend.rpc('deactivate_code', { org_id: org })
      expect(await read(friend, org)).toEqual({ friends: 2 })
    }))

  test('reads a program by invitation once they have redeemed a code of it', () =>
    undone(sql, async (tx) => {
      const { org, friend, coordinator, partners } = await programs(tx)
      const campaign = { org_id: org, program_id: partners }
      const [code] = await coordinator.rpc('create_campaign_code', campaign)
      await person(tx).rpc('redeem_code', { code: code?.code })
      expect(await read(friend, org)).toEqual({ fans: 1, friends: 1 })
      await friend.rpc('redeem_code', { code: code?.code })
      expect(await read(friend, org)).toEqual(all)
    }))

  test('reads all once staff have added them, or made them staff', () =>
    undone(sql, async (tx) => {
      const { org, friend, admin } = await programs(tx)
      await admin.rpc('add_member', { org_id: org, user_id: friend.id })
      expect(await read(friend, org)).toEqual(all)
      const other = person(tx)
      await other.rpc('get_or_create_code', { org_id: org })
      expect(await read(other, org)).toEqual({ fans: 1, friends: 1 })
      const role = { org_id: org, user_id: other.id, role: 'coordinator' }
      await admin.rpc('set_member_role', role)
      expect(await read(other, org)).toEqual(all)
    }))

  test('reads nothing once deactivated', () =>
    undone(sql, async (tx) => {
      const { org, friend, coordinator } = await programs(tx)
      await coordinator.rpc('deactivate_member', { org_id: org, user_id: friend.id })
      expect(await read(friend, org)).toEqual({})
    }))

  test('reads nothing of another organisation, where they are a member whom staff have added', () =>
    undone(sql, async (tx) => {
      const [here, there] = [await programs(tx), await programs(tx)]
      await there.admin.rpc('add_member', { org_id: there.org, user_id: here.friend.id })
      expect(await read(here.friend, there.org)).toEqual(all)
      expect(await read(here.friend, here.org)).toEqual({ fans: 1, friends: 1 })
    }))

  test('is told of a program by invitation that it is not there', () =>
    undone(sql, async (tx) => {
      const { friend, fans, partners } = await programs(tx)
      const update = (program_id: string) =>
        refusal(friend.rpc('update_program', { program_id, changes: { name: 'Mine' } }))
      expect(await update(partners)).toBe('program_not_found')
      expect(await update(fans)).toBe('not_allowed')
    }))
})

test('members whom staff have added, staff and the operator read all; the anonymous sign-in of a member nothing', () =>
  undone(sql, async (tx) => {
    const { org, mentor, coordinator, admin } = await programs(tx)
    for (const reader of [mentor, coordinator, admin, operator(tx)])
      expect(await read(reader, org)).toEqual(all)
    const guest = person(tx, mentor.id, { is_anonymous: true })
    expect(await read(guest, org)).toEqual({})
    expect(await read(person(tx), org)).toEqual({})
  }))

const rpcs = await sql`
  select proname as name from pg_proc
  where pronamespace = 'referral'::regnamespace and 'program_id' = any (proargnames)
    and has_function_privilege('authenticated', oid, 'execute')
  order by proname`
const staged = await stage(sql)

test.for(rpcs.map(({ name }) => String(name)))(
  '%s tells a member who enrolled by themself the same of a program by invitation and of none',
  (rpc) =>
    undone(sql, async (tx) => {
      const { org, partners, friend } = await programs(tx)
      await friend.rpc('deactivate_code', { org_id: org })
      const args = calls[rpc]?.args({ ...staged, org, mentor: friend, friend }) ?? {}
      const of = (program_id: string) => shown(friend, rpc, { ...args, program_id })
      expect(await of(partners)).toBe(await of(crypto.randomUUID()))
    }),
)
