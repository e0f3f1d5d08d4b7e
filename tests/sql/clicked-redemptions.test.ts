/** A redemption that a click proves. */
import { describe, expect, test } from 'vitest'
import { person, refusal } from '../support/actors.ts'
import { linkScene, redeem } from '../support/clicks.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { codeOf } from '../support/scene.ts'

const sql = await testDatabase()

const age = (tx: Sql, by: string) =>
  tx`update referral_private.clicks set clicked_at = clicked_at - ${by}::interval`

describe('redeem_code', () => {
  test.for(['link', 'install_referrer', 'clipboard'])(
    'keeps that the code came by %s, with which click and on which channel',
    (provenance) =>
      undone(sql, async (tx) => {
        const { code, friend, coordinator, mentor, org, clicked, stored } = await linkScene(tx)
        const click_id = await clicked({ channel: 'whatsapp' })
        await redeem(friend, { code, click_id, provenance, channel: 'other' })
        const [click] = await stored()
        const copied = { click_id, clicked_at: click?.clicked_at, channel: 'whatsapp' }
        expect(await coordinator.run('select * from referral.redemptions')).toMatchObject([
          { provenance, ...copied },
        ])
        expect(await mentor.rpc('my_referrals', { org_id: org })).toMatchObject([
          { channel: 'whatsapp' },
        ])
      }),
  )

  test('takes the channel of the call where the click has none', () =>
    undone(sql, async (tx) => {
      const { id, code, friend, coordinator, clicked } = await linkScene(tx)
      await redeem(friend, { code, click_id: await clicked(), channel: 'poster' })
      expect(await coordinator.rpc('usage_for_code', { code_id: id })).toMatchObject([
        { provenance: 'link', channel: 'poster' },
      ])
    }))

  test('takes a repeated click as well: it may be the one that led to the app', () =>
    undone(sql, async (tx) => {
      const { code, friend, clicked } = await linkScene(tx)
      await clicked()
      expect(await redeem(friend, { code, click_id: await clicked() })).toHaveLength(1)
    }))

  test('refuses a click that nobody recorded', () =>
    undone(sql, async (tx) => {
      const { code, friend } = await linkScene(tx)
      const call = redeem(friend, { code, click_id: crypto.randomUUID() })
      expect(await refusal(call)).toBe('invalid_click')
    }))

  test('refuses a click on another code, of the same organisation or of another', () =>
    undone(sql, async (tx) => {
      const { org, code, coordinator, friend, clicked } = await linkScene(tx)
      const other = await codeOf(coordinator, org)
      const there = await linkScene(tx)
      for (const click_id of [await clicked({ code: other.code }), await there.clicked()])
        expect(await refusal(redeem(friend, { code, click_id }))).toBe('invalid_click')
    }))

  test('refuses a click on the code that was rotated into this one, and takes it for that one in its grace', () =>
    undone(sql, async (tx) => {
      const { org, code, mentor, friend, clicked } = await linkScene(tx)
      const click_id = await clicked()
      const [next] = await mentor.rpc('rotate_code', { org_id: org, grace: '1 day' })
      expect(await refusal(redeem(friend, { code: next?.code, click_id }))).toBe('invalid_click')
      expect(await redeem(friend, { code, click_id })).toHaveLength(1)
    }))

  test('takes a click of 30 days, and refuses an older one', () =>
    undone(sql, async (tx) => {
      const { code, friend, clicked } = await linkScene(tx)
      const click_id = await clicked()
      await age(tx, '30 days 1 minute')
      expect(await refusal(redeem(friend, { code, click_id }))).toBe('invalid_click')
      await age(tx, '-2 minutes')
      expect(await redeem(friend, { code, click_id })).toHaveLength(1)
    }))

  test('takes a click for as long as the organisation says', () =>
    undone(sql, async (tx) => {
      const { org, admin, code, friend, clicked } = await linkScene(tx)
      const window = (click_window: string) =>
        admin.rpc('update_organisation', { org_id: org, changes: { click_window } })
      const click_id = await clicked()
      await age(tx, '60 days')
      await window('59 days')
      expect(await refusal(redeem(friend, { code, click_id }))).toBe('invalid_click')
      await window('61 days')
      expect(await redeem(friend, { code, click_id })).toHaveLength(1)
    }))

  test('refuses a click that backs another redemption, also a rejected one', () =>
    undone(sql, async (tx) => {
      const { code, friend, coordinator, clicked } = await linkScene(tx)
      const click_id = await clicked()
      const [first] = await redeem(friend, { code, click_id })
      await coordinator.rpc('reject_redemption', { redemption_id: first?.redemption_id })
      expect(await refusal(redeem(person(tx), { code, click_id }))).toBe('invalid_click')
      expect(await person(tx).rpc('redeem_code', { code })).toHaveLength(1)
    }))

  test('answers the same person again with the same redemption, whatever they say of the click', () =>
    undone(sql, async (tx) => {
      const { code, friend, clicked } = await linkScene(tx)
      const click_id = await clicked()
      const [first] = await redeem(friend, { code, click_id })
      for (const again of [{ click_id }, { click_id: crypto.randomUUID() }])
        expect(await redeem(friend, { code, ...again })).toEqual([first])
      expect(await friend.rpc('redeem_code', { code })).toEqual([first])
    }))

  test('leaves the click of a refused redemption to the person it is for', () =>
    undone(sql, async (tx) => {
      const { id, code, mentor, friend, coordinator, clicked } = await linkScene(tx)
      const click_id = await clicked()
      expect(await refusal(redeem(mentor, { code, click_id }))).toBe('self_referral')
      await coordinator.rpc('suspend_code', { code_id: id })
      expect(await refusal(redeem(friend, { code, click_id }))).toBe('code_suspended')
      await coordinator.rpc('reactivate_code', { code_id: id })
      expect(await redeem(friend, { code, click_id })).toHaveLength(1)
    }))

  test.for([
    [{ provenance: 'typed', click_id: 'recorded' }, 'invalid_click'],
    [{ provenance: 'link', click_id: null }, 'invalid_click'],
    [{ provenance: 'clipboard', click_id: null }, 'invalid_click'],
    [{ provenance: 'metadata', click_id: 'recorded' }, 'invalid_argument'],
    [{ provenance: 'guess', click_id: 'recorded' }, 'invalid_argument'],
  ] as const)('refuses %o with %s', ([claim, expected]) =>
    undone(sql, async (tx) => {
      const { code, friend, clicked } = await linkScene(tx)
      const click_id = claim.click_id && (await clicked())
      expect(await refusal(redeem(friend, { code, ...claim, click_id }))).toBe(expected)
    }),
  )

  test('says mutual_referral, not invalid_click, of two people who refer each other', () =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator, code, clicked } = await linkScene(tx)
      const other = await codeOf(coordinator, org)
      await mentor.rpc('redeem_code', { code: other.code })
      const call = redeem(coordinator, { code, click_id: await clicked() })
      expect(await refusal(call)).toBe('mutual_referral')
    }))
})
