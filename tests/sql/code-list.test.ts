/** The list of codes: who is shown which, what it leaves out, and its pages. */
import { expect, test } from 'vitest'
import { type Actor, operator, person, refusal } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

const idsOf = async (actor: Actor, args: object) =>
  (await actor.rpc('list_codes', args as Record<string, unknown>)).map(({ id }) => id)

test('staff are shown all codes of their organisation, anybody else their own', () =>
  undone(sql, async (tx) => {
    const here = await scene(tx)
    const there = await scene(tx)
    await there.admin.rpc('add_member', { org_id: there.org, user_id: here.mentor.id })
    const mine = await codeOf(here.mentor, here.org)
    const elsewhere = await codeOf(here.mentor, there.org)
    const another = await codeOf(here.coordinator, here.org)
    const all = { org_id: here.org }
    for (const staff of [here.coordinator, here.admin, operator(tx)])
      expect(await idsOf(staff, all)).toEqual([another.id, mine.id])
    expect(await idsOf(here.mentor, all)).toEqual([mine.id])
    expect(await idsOf(here.mentor, { org_id: there.org })).toEqual([elsewhere.id])
    const ofColleague = { ...all, referrer_id: here.coordinator.id }
    expect(await idsOf(here.admin, ofColleague)).toEqual([another.id])
    for (const outsider of [here.mentor, here.friend, there.admin, person(tx)])
      expect(await idsOf(outsider, ofColleague)).toEqual([])
    for (const outsider of [here.friend, there.admin, person(tx)])
      expect(await idsOf(outsider, all)).toEqual([])
  }))

test('it can be of a program, of a batch, and of what can be used now', () =>
  undone(sql, async (tx) => {
    const { org, admin, mentor } = await scene(tx)
    const [program] = await admin.rpc('create_program', { org_id: org, key: 'b', name: 'B' })
    const chosen = { org_id: org, program_id: String(program?.id) }
    const mine = await codeOf(mentor, org)
    const [campaign] = await admin.rpc('create_campaign_code', chosen)
    const [generated] = await admin.rpc('generate_codes', { org_id: org, count: 1 })
    const [suspended] = await admin.rpc('create_campaign_code', { org_id: org })
    await admin.rpc('suspend_code', { code_id: suspended?.id })
    const [past] = await admin.rpc('create_campaign_code', { org_id: org })
    await tx`update referral.codes set expires_at = clock_timestamp() where id = ${String(past?.id)}`
    expect(await idsOf(admin, chosen)).toEqual([campaign?.id])
    const ofBatch = { org_id: org, batch_id: generated?.batch_id }
    const inBatch = await admin.rpc('list_codes', ofBatch)
    expect(inBatch).toMatchObject([ofBatch])
    const usable = await idsOf(admin, { org_id: org, usable: true })
    expect(usable).toEqual([inBatch[0]?.id, campaign?.id, mine.id])
    const [newest] = await admin.rpc('list_codes', { org_id: org })
    expect(newest, 'stored as active: the job has not run').toMatchObject({
      id: past?.id,
      status: 'expired',
    })
  }))

test('pages lose and repeat no code, also among codes of one instant', () =>
  undone(sql, async (tx) => {
    const { org, admin, mentor } = await scene(tx)
    for (let n = 0; n < 5; n++) await admin.rpc('create_campaign_code', { org_id: org })
    await tx`set constraints all immediate`
    await tx`alter table referral.codes disable trigger user`
    await tx`update referral.codes set created_at = '2026-01-01' where org_id = ${org}`
    await tx`alter table referral.codes enable trigger user`
    await codeOf(mentor, org)
    const all = await idsOf(admin, { org_id: org })
    const seen: unknown[] = []
    for (let after: unknown = null; ; after = seen.at(-1)) {
      const page = await idsOf(admin, { org_id: org, after, page_size: 2 })
      seen.push(...page)
      if (page.length < 2) break
    }
    expect(seen).toEqual(all)
    expect(new Set(seen).size).toBe(6)
  }))

test('a page after what the caller is not shown, or of no organisation, is refused', () =>
  undone(sql, async (tx) => {
    const { org, admin, mentor, coordinator } = await scene(tx)
    const { id } = await codeOf(coordinator, org)
    expect(await idsOf(admin, { org_id: org, after: id })).toEqual([])
    for (const [actor, after] of [
      [mentor, id],
      [admin, crypto.randomUUID()],
    ] as const)
      expect(await refusal(actor.rpc('list_codes', { org_id: org, after }))).toBe(
        'invalid_argument',
      )
    expect(await refusal(admin.rpc('list_codes', { org_id: null }))).toBe('invalid_argument')
  }))
