/** Who decides is checked again after a lock was waited for: a role that was lost meanwhile does nothing more. */
import { describe, expect, test } from 'vitest'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { type Actor, details, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { codeOf, type Scene, scene } from '../support/scene.ts'
import { sessions } from '../support/sessions.ts'

const sql = await testDatabase()

type Staged = Scene & { helper: Actor; codeId: string; campaignId: string }

/** An organisation with a second admin, so that the first can be deactivated, a mentor's code and a campaign code. */
async function staged(): Promise<Staged> {
  const people = await scene(sql)
  const { org, admin, mentor } = people
  const helper = person(sql)
  await admin.rpc('add_member', { org_id: org, user_id: helper.id, role: 'admin' })
  const { id } = await codeOf(mentor, org)
  const [campaign] = await helper.rpc('create_campaign_code', { org_id: org })
  return { ...people, helper, codeId: id, campaignId: String(campaign?.id) }
}

/** What another session holds while a command waits. */
const held = {
  account: (tx: Sql) => ingest(tx, paidInvoice()),
  organisation: (tx: Sql, { org }: Staged) =>
    tx`select from referral.organisations where id = ${org} for no key update`,
  member: (tx: Sql, { org, mentor }: Staged) =>
    tx`select from referral.members where org_id = ${org} and user_id = ${mentor.id} for no key update`,
  code: (tx: Sql, { campaignId }: Staged) =>
    tx`select from referral.codes where id = ${campaignId} for no key update`,
  own: (tx: Sql, { org, admin }: Staged) =>
    tx`update referral.members set display_name = 'Other' where org_id = ${org} and user_id = ${admin.id}`,
}

type Command = [
  rpc: string,
  lock: keyof typeof held,
  args: (staged: Staged) => Record<string, unknown>,
  error?: string,
]

const change = (changes: object) => (of: Record<string, unknown>) => ({ ...of, changes })
const ofProgram = ({ program }: Staged) => ({ program_id: program })
const ofOrg = ({ org }: Staged) => ({ org_id: org })
const ofMentor = ({ org, mentor }: Staged) => ({ org_id: org, user_id: mentor.id })
const ofMentorsCode = ({ org, mentor }: Staged) => ({ org_id: org, referrer_id: mentor.id })
const ofCampaign = ({ campaignId }: Staged) => ({ code_id: campaignId })
const terms = change({ terms: { hold_days: 3 } })

const commands: Command[] = [
  ['update_program', 'account', (s) => terms(ofProgram(s))],
  ['update_program', 'organisation', (s) => change({ name: 'Other' })(ofProgram(s))],
  ['update_organisation', 'account', (s) => change({ active: false })(ofOrg(s))],
  ['update_organisation', 'organisation', (s) => change({ name: 'Other' })(ofOrg(s))],
  ['create_program', 'organisation', (s) => ({ ...ofOrg(s), key: 'other', name: 'Other' })],
  ['add_member', 'member', (s) => ofMentor(s)],
  ['set_member_role', 'organisation', (s) => ({ ...ofMentor(s), role: 'coordinator' })],
  ['set_member_role', 'member', (s) => ({ ...ofMentor(s), role: 'coordinator' })],
  ['deactivate_member', 'member', ofMentor],
  ['reactivate_member', 'member', ofMentor],
  ['create_code', 'member', (s) => ({ ...ofMentorsCode(s), code: 'CHOSEN-1' })],
  ['rotate_code', 'member', (s) => ({ ...ofMentorsCode(s), code: 'CHOSEN-2' })],
  ['deactivate_code', 'member', ofMentorsCode],
  ['suspend_code', 'member', ({ codeId }) => ({ code_id: codeId })],
  ['suspend_code', 'code', ofCampaign, 'code_not_found'],
  ['end_code', 'code', ofCampaign, 'code_not_found'],
  ['update_code', 'code', (s) => change({ description: 'New' })(ofCampaign(s)), 'code_not_found'],
  ['import_codes', 'account', (s) => ({ ...ofOrg(s), rows: [{ code: 'IMPORTED-1' }] })],
  ['set_my_name', 'own', (s) => ({ ...ofOrg(s), display_name: 'Me' })],
]

describe('a caller who is deactivated while a command of theirs waits is refused', () => {
  test.for(commands)('%s, for the lock of the %s', ([rpc, lock, args, error = 'not_a_member']) =>
    sessions(sql, async (other, staff) => {
      const all = await staged()
      const { org, admin } = all
      await held[lock](other.tx, all)
      const late = refusal(person(staff.tx, admin.id).rpc(rpc, args(all)))
      await staff.blocked()
      await deactivated(other.tx, org, admin)
      await other.commit()
      expect(await late).toBe(error)
    }),
  )

  test.for([
    ['create_code', { code: 'CHOSEN-3' }],
    ['rotate_code', { code: 'CHOSEN-4' }],
    ['create_campaign_code', {}],
  ] as const)('%s, of staff, by a coordinator who is a member only by then', ([rpc, of]) =>
    sessions(sql, async (other, staff) => {
      const { org, coordinator } = await staged()
      if (rpc === 'rotate_code') await codeOf(coordinator, org)
      await other.tx`
        update referral.members set role = 'member' where org_id = ${org} and user_id = ${coordinator.id}`
      const args = { org_id: org, ...of }
      const late = refusal(person(staff.tx, coordinator.id).rpc(rpc, args))
      await staff.blocked()
      await other.commit()
      expect(await late).toBe('not_allowed')
    }),
  )

  test('set_member_role, by an admin who is a coordinator only by then', () =>
    sessions(sql, async (other, staff) => {
      const all = await staged()
      const { org, admin, mentor } = all
      await held.organisation(other.tx, all)
      const args = { org_id: org, user_id: mentor.id, role: 'coordinator' }
      const late = refusal(person(staff.tx, admin.id).rpc('set_member_role', args))
      await staff.blocked()
      await other.tx`
        update referral.members set role = 'coordinator' where org_id = ${org} and user_id = ${admin.id}`
      await other.commit()
      expect(await late).toBe('not_allowed')
    }))
})

/** Whoever holds the lock deactivates the caller in the same transaction: it is over before the lock is free. */
async function deactivated(tx: Sql, org: string, { id }: Actor): Promise<void> {
  await tx`
    update referral.members set deactivated_at = now(), role = 'member' where org_id = ${org} and user_id = ${id}`
}

describe('terms that are wrong', () => {
  const tiers = Array.from({ length: 101 }, (_, n) => ({ from: n + 1, bps: 1 }))

  test.for([
    ['invalid_terms', { terms: { tiers } }],
    ['invalid_terms', { terms: { minimum_sale: { ['x'.repeat(20_000)]: 1 } } }],
    ['invalid_terms', { terms: { no_such_key: 1 } }],
    ['invalid_terms', { terms: { payout_minimum: { usd: 1 } } }],
    ['invalid_argument', { active: 'perhaps' }],
  ] as const)('are refused with %s before the account lock is waited for', ([code, changes]) =>
    sessions(sql, async (other) => {
      const { program, admin } = await scene(sql)
      await held.account(other.tx)
      const call = admin.rpc('update_program', { program_id: program, changes })
      expect(await refusal(call)).toBe(code)
    }),
  )

  test('are refused in the same way where there are as many versions as a day may have', () =>
    sessions(sql, async (other) => {
      const { org, program, admin } = await scene(sql)
      await sql`
        insert into referral.program_terms (org_id, program_id, version, terms, valid_from, valid_to)
        select ${org}, ${program}, n, '{}', now() - interval '1 hour', now()
        from generate_series(2, 50) as n`
      await held.account(other.tx)
      const changes = { terms: { hold_days: 1 } }
      const call = admin.rpc('update_program', { program_id: program, changes })
      expect(await details(call)).toBe('50 versions of terms in 24 hours')
    }))

  test('are refused as well where another change makes the last version of the day meanwhile', () =>
    sessions(sql, async (one, other) => {
      const { org, program, admin } = await scene(sql)
      await sql`
        insert into referral.program_terms (org_id, program_id, version, terms, valid_from, valid_to)
        select ${org}, ${program}, n, '{}', now() - interval '1 hour', now()
        from generate_series(101, 148) as n`
      const change = (tx: Sql, hold_days: number) =>
        person(tx, admin.id).rpc('update_program', {
          ...{ program_id: program, changes: { terms: { hold_days } } },
        })
      await change(one.tx, 3)
      const second = refusal(change(other.tx, 4))
      await other.blocked()
      await one.commit()
      expect(await second).toBe('rate_limited')
    }))

  test('two changes of one program at once are both in force afterwards', () =>
    sessions(sql, async (one, other) => {
      const { program, admin } = await scene(sql)
      const change = (tx: Sql, terms: object) =>
        person(tx, admin.id).rpc('update_program', { program_id: program, changes: { terms } })
      await change(one.tx, { hold_days: 3 })
      const second = change(other.tx, { minimum_sale: { usd: 100 } })
      await other.blocked()
      await one.commit()
      await second
      await other.commit()
      const [row] = await sql`
        select terms from referral.program_terms where program_id = ${program} and valid_to is null`
      expect(row?.terms).toMatchObject({ hold_days: 3, minimum_sale: { usd: 100 } })
    }))
})
