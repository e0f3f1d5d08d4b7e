import { describe, expect, test } from 'vitest'
import { type Actor, operator, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

const visitor = { address: '198.51.100.7', user_agent: 'Mozilla/5.0 (iPhone)' }

/** A code of the mentor's, and `click`, which records one on it and says whether it counts. */
async function stage(tx: Sql) {
  const here = await scene(tx)
  const code = await codeOf(here.mentor, here.org)
  const click = async (given: object = {}) => {
    const args = { code: code.code, click_id: crypto.randomUUID(), ...visitor, ...given }
    const [answer] = await operator(tx).rpc('record_click', args)
    return answer?.record_click
  }
  const stored = () => tx`select * from referral_private.clicks order by clicked_at`
  return { ...here, ...code, click, stored }
}

/** A click on the code that is recorded, and its id. */
async function clicked({ click }: { click: (given: object) => Promise<unknown> }, given = {}) {
  const click_id = crypto.randomUUID()
  await click({ click_id, ...given })
  return click_id
}

const redeem = (who: Actor, args: object) => who.rpc('redeem_code', { provenance: 'link', ...args })

describe('record_click', () => {
  test('stores a click with what it was, and neither address nor user agent', () =>
    undone(sql, async (tx) => {
      const { org, id, code, click, stored } = await stage(tx)
      const given = { platform: 'ios', channel: 'qr', utm: { utm_source: 'fair', other: 'x' } }
      expect(await click({ ...given, code: code.toLowerCase() })).toBe(true)
      const [row] = await stored()
      expect(row).toMatchObject({
        org_id: org,
        code_id: id,
        counted: true,
        platform: 'ios',
        channel: 'qr',
        utm: { utm_source: 'fair' },
      })
      expect(row?.visitor).toHaveLength(32)
      expect(JSON.stringify(row)).not.toMatch(/198\.51|Mozilla/)
    }))

  test('stores a repeat of the day, which does not count', () =>
    undone(sql, async (tx) => {
      const { click, stored } = await stage(tx)
      expect([await click(), await click(), await click()]).toEqual([true, false, false])
      expect(await stored()).toHaveLength(3)
    }))

  test('answers a click id again as it did, and stores nothing', () =>
    undone(sql, async (tx) => {
      const { click, stored } = await stage(tx)
      const once = { click_id: crypto.randomUUID() }
      expect([await click(once), await click(once)]).toEqual([true, true])
      expect(await stored()).toHaveLength(1)
    }))
})

describe('redeem_code with a click', () => {
  test('keeps how the code came, by which click and on which channel', () =>
    undone(sql, async (tx) => {
      const staged = await stage(tx)
      const click_id = await clicked(staged, { channel: 'whatsapp' })
      await redeem(staged.friend, { code: staged.code, click_id, provenance: 'install_referrer' })
      const [click] = await staged.stored()
      expect(await staged.coordinator.run('select * from referral.redemptions')).toMatchObject([
        {
          provenance: 'install_referrer',
          channel: 'whatsapp',
          click_id,
          clicked_at: click?.clicked_at,
        },
      ])
    }))

  test('refuses a click that nobody recorded', () =>
    undone(sql, async (tx) => {
      const { code, friend } = await stage(tx)
      const call = redeem(friend, { code, click_id: crypto.randomUUID() })
      expect(await refusal(call)).toBe('invalid_click')
    }))
})

describe('link_site', () => {
  test('gives what belongs to a link host, and nothing for any other', () =>
    undone(sql, async (tx) => {
      const { org } = await scene(tx)
      const changes = { link_origin: 'https://go.example.org', ios_app_ids: ['ABCDE12345.org.app'] }
      await operator(tx).rpc('update_organisation', { org_id: org, changes })
      const site = (host: string | null) => operator(tx).rpc('link_site', { host })
      expect(await site('GO.example.org')).toMatchObject([changes])
      for (const host of ['example.org', 'go.example.org/', '', null])
        expect(await site(host)).toEqual([])
    }))
})
