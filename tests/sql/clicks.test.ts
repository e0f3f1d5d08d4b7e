import { describe, expect, test } from 'vitest'
import { person, refusal } from '../support/actors.ts'
import { linkScene, visitor } from '../support/clicks.ts'
import { testDatabase, undone } from '../support/database.ts'
import { codeOf } from '../support/scene.ts'

const sql = await testDatabase()

describe('record_click', () => {
  test('stores a click with what it was, and neither address nor user agent', () =>
    undone(sql, async (tx) => {
      const { org, id, code, click, stored } = await linkScene(tx)
      const was = { platform: 'ios', channel: 'qr', utm: { utm_source: 'fair' } }
      expect(await click({ ...was, code: ` ${code.toLowerCase()} ` })).toBe(true)
      const [row] = await stored()
      expect(row).toMatchObject({ org_id: org, code_id: id, counted: true, ...was })
      expect(
        await tx`select octet_length(visitor) as bytes from referral_private.visitors`,
      ).toEqual([{ bytes: 32 }])
      const [everything] = await tx`
        select (select json_agg(k) from referral_private.clicks as k)::text
          || (select json_agg(v) from referral_private.visitors as v) as text`
      expect(everything?.text).toContain(org)
      expect(everything?.text).not.toMatch(/198\.51|Mozilla|iPhone/)
    }))

  test('stores a repeat of the day, which does not count', () =>
    undone(sql, async (tx) => {
      const { click, stored } = await linkScene(tx)
      expect([await click(), await click(), await click()]).toEqual([true, false, false])
      expect((await stored()).map(({ counted }) => counted)).toEqual([true, false, false])
    }))

  test('answers a click id again as it did, and stores nothing', () =>
    undone(sql, async (tx) => {
      const { click, stored } = await linkScene(tx)
      const [once, repeat] = [{ click_id: crypto.randomUUID() }, { click_id: crypto.randomUUID() }]
      expect([await click(once), await click(repeat)]).toEqual([true, false])
      expect([await click(once), await click(repeat)]).toEqual([true, false])
      expect(await stored()).toHaveLength(2)
    }))

  test.for([
    ['the same network of IPv4', { address: '198.51.100.200' }, false],
    ['another network of IPv4', { address: '198.51.101.7' }, true],
    ['IPv4 written as IPv6', { address: '::ffff:198.51.100.8' }, false],
    ['another user agent', { user_agent: 'Mozilla/5.0 (Android)' }, true],
    ['no user agent', { user_agent: null }, true],
    ['no address', { address: null }, true],
    ['no valid address', { address: 'unknown' }, true],
  ] as const)('takes %s for the same visitor or another', ([, given, counts]) =>
    undone(sql, async (tx) => {
      const { click } = await linkScene(tx)
      await click()
      expect(await click(given)).toBe(counts)
    }),
  )

  test('takes a /64 of IPv6 for one visitor', () =>
    undone(sql, async (tx) => {
      const { click } = await linkScene(tx)
      expect(await click({ address: '2001:db8:0:1::1' })).toBe(true)
      expect(await click({ address: '2001:db8:0:1:ffff::1' })).toBe(false)
      expect(await click({ address: '2001:db8:0:2::1' })).toBe(true)
    }))

  test('tells visitors without an address not apart: each click counts', () =>
    undone(sql, async (tx) => {
      const { click } = await linkScene(tx)
      const nowhere = { address: null, user_agent: visitor.user_agent }
      expect([await click(nowhere), await click(nowhere)]).toEqual([true, true])
    }))

  test('counts a visitor on another code again', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, click } = await linkScene(tx)
      const other = await codeOf(coordinator, org)
      expect([await click(), await click({ code: other.code })]).toEqual([true, true])
    }))

  test('leaves nothing in common between a visitor’s clicks on two codes', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, click } = await linkScene(tx)
      const other = await codeOf(coordinator, org)
      await click()
      await click({ code: other.code })
      const visitors = await tx`select distinct visitor from referral_private.visitors`
      expect(visitors).toHaveLength(2)
    }))

  test('counts a visitor on another day again, under another key, the old one being gone', () =>
    undone(sql, async (tx) => {
      const { click } = await linkScene(tx)
      await click()
      const [yesterday] = await tx`
        update referral_private.day_keys set day = day - 1 returning key`
      expect(await click()).toBe(true)
      const visitors = await tx`select distinct visitor from referral_private.visitors`
      expect(visitors).toHaveLength(2)
      const keys = await tx`select key from referral_private.day_keys`
      expect(keys).toHaveLength(1)
      expect(keys[0]?.key).not.toEqual(yesterday?.key)
    }))

  test.for([
    ["update referral.codes set status = 'suspended'"],
    ["update referral.codes set expires_at = clock_timestamp() - interval '1 second'"],
    ["update referral.codes set status = 'invalidated', ended_at = now()"],
    ['update referral.programs set active = false'],
    ['update referral.organisations set active = false'],
  ])('answers false after %s, and stores nothing', ([change]) =>
    undone(sql, async (tx) => {
      const { click, stored } = await linkScene(tx)
      await tx.unsafe(String(change))
      expect(await click()).toBe(false)
      expect(await stored()).toEqual([])
    }),
  )

  test.for(['NOBODY-HAS-THIS', '🎉', '', null])(
    'answers false for the code %s, which is nobody’s',
    (code) =>
      undone(sql, async (tx) => {
        const { click } = await linkScene(tx)
        expect(await click({ code })).toBe(false)
      }),
  )

  test('answers false for a code that has been used as often as it may be', () =>
    undone(sql, async (tx) => {
      const { id, code, coordinator, click } = await linkScene(tx)
      await coordinator.rpc('update_code', { code_id: id, changes: { max_uses: 1 } })
      expect(await click()).toBe(true)
      await person(tx).rpc('redeem_code', { code })
      expect(await click({ address: '203.0.113.1' })).toBe(false)
    }))

  test('stores no more clicks of a visitor on a day than the organisation allows', () =>
    undone(sql, async (tx) => {
      const { org, admin, click, stored } = await linkScene(tx)
      await admin.rpc('update_organisation', { org_id: org, changes: { clicks_per_visitor: 2 } })
      const answers = [await click(), await click(), await click(), await click()]
      expect(answers).toEqual([true, false, false, false])
      expect(await stored()).toHaveLength(2)
      expect(await click({ address: '203.0.113.1' })).toBe(true)
    }))

  test('stores no more clicks on a code and day than the organisation allows, and nothing of further visitors', () =>
    undone(sql, async (tx) => {
      const { org, admin, coordinator, click, stored } = await linkScene(tx)
      await admin.rpc('update_organisation', { org_id: org, changes: { clicks_per_code: 3 } })
      const from = (n: number) =>
        click({ address: `203.0.${n}.1`, channel: n % 2 ? 'qr' : 'share', platform: 'android' })
      const answers = [await from(1), await from(2), await from(3), await from(4), await from(1)]
      expect(answers).toEqual([true, true, true, false, false])
      expect(await stored()).toHaveLength(3)
      expect(await tx`select from referral_private.visitors`).toHaveLength(3)
      expect(await click({ code: (await codeOf(coordinator, org)).code })).toBe(true)
    }))

  test('starts both counts anew on the next day', () =>
    undone(sql, async (tx) => {
      const { org, admin, click } = await linkScene(tx)
      const changes = { clicks_per_code: 1, clicks_per_visitor: 1 }
      await admin.rpc('update_organisation', { org_id: org, changes })
      expect([await click(), await click()]).toEqual([true, false])
      await tx`update referral_private.click_days set day = day - 1`
      await tx`update referral_private.day_keys set day = day - 1`
      expect(await click()).toBe(true)
    }))

  test.for([
    [{ channel: 'carrier pigeon' }, { channel: null }],
    [{ channel: null }, { channel: null }],
    [{ utm: null }, { utm: null }],
    [{ utm: [] }, { utm: null }],
    [{ utm: {} }, { utm: null }],
    [{ utm: { utm_source: 'a', utm_id: 'b' } }, { utm: { utm_source: 'a' } }],
    [{ utm: { utm_source: 1, utm_term: ['x'], utm_medium: null } }, { utm: null }],
    [{ utm: { utm_source: '', utm_term: 'x'.repeat(101) } }, { utm: null }],
    [{ utm: { utm_content: 'ä'.repeat(100) } }, { utm: { utm_content: 'ä'.repeat(100) } }],
    [{ utm: { utm_campaign: 'a\r\nb', utm_term: 'a\u0085b' } }, { utm: null }],
    [
      { utm: { utm_campaign: 'a\u202eb', utm_term: 'a👩\u200d👧' } },
      { utm: { utm_term: 'a👩\u200d👧' } },
    ],
    [{ platform: 'android' }, { platform: 'android' }],
    [{}, { platform: 'web' }],
  ] as const)('keeps of %o what is known: %o', ([given, kept]) =>
    undone(sql, async (tx) => {
      const { click, stored } = await linkScene(tx)
      expect(await click(given)).toBe(true)
      const [row] = await stored()
      const [key] = Object.keys(kept)
      expect({ [String(key)]: row?.[String(key)] }).toEqual(kept)
    }),
  )

  test('keeps each platform and each channel that there is', () =>
    undone(sql, async (tx) => {
      const { click, stored } = await linkScene(tx)
      const labels = await tx`
        select platform::text, channel::text
        from unnest(enum_range(null::referral.click_platform)) as platform,
          unnest(enum_range(null::referral.click_channel)) as channel
        order by platform, channel`
      for (const [n, given] of labels.entries()) await click({ address: `10.6.${n}.1`, ...given })
      expect((await stored()).map(({ platform, channel }) => ({ platform, channel }))).toEqual([
        ...labels,
      ])
    }))

  test.for([{ click_id: null }, { platform: 'windows' }, { platform: null }])(
    'refuses %o with invalid_argument',
    (wrong) =>
      undone(sql, async (tx) => {
        const { click } = await linkScene(tx)
        expect(await refusal(click(wrong))).toBe('invalid_argument')
      }),
  )
})

describe('code_clicks', () => {
  test('gives the clicks that count, per day, platform and channel', () =>
    undone(sql, async (tx) => {
      const { id, mentor, click } = await linkScene(tx)
      const from = (n: number, given: object) => click({ address: `203.0.${n}.1`, ...given })
      await from(1, { channel: 'qr', platform: 'ios' })
      await from(2, { channel: 'qr', platform: 'ios' })
      await from(3, {})
      await from(3, { channel: 'print' })
      const day = new Date(`${new Date().toISOString().slice(0, 10)}T00:00:00Z`)
      expect(await mentor.rpc('code_clicks', { code_id: id })).toEqual([
        { day, platform: 'ios', channel: 'qr', clicks: 2 },
        { day, platform: 'web', channel: null, clicks: 1 },
      ])
    }))

  test('gives the days that are asked for, both included, and the last 31 else', () =>
    undone(sql, async (tx) => {
      const { org, id, mentor } = await linkScene(tx)
      await tx`
        insert into referral_private.click_days (org_id, code_id, day, platform, channel, clicks, stored)
        select ${org}, ${id}, (now() at time zone 'utc')::date - n, 'web', '', n, n
        from generate_series(1, 40) as n`
      const days = async (range: object) =>
        (await mentor.rpc('code_clicks', { code_id: id, ...range })).length
      expect(await days({})).toBe(30)
      const [row] = await tx`
        select to_char(now() at time zone 'utc' - interval '40 days', 'YYYY-MM-DD') as from_day,
          to_char(now() at time zone 'utc' - interval '39 days', 'YYYY-MM-DD') as to_day`
      expect(await days({ ...row })).toBe(2)
      expect(await days({ from_day: row?.to_day, to_day: row?.to_day })).toBe(1)
    }))

  test.for([
    { from_day: '2026-01-02', to_day: '2026-01-01' },
    { from_day: '2026-01-01', to_day: '2026-02-01' },
    { from_day: '0001-01-01', to_day: '2026-02-01' },
  ])('refuses the days %o with invalid_argument', (days) =>
    undone(sql, async (tx) => {
      const { id, mentor } = await linkScene(tx)
      expect(await refusal(mentor.rpc('code_clicks', { code_id: id, ...days }))).toBe(
        'invalid_argument',
      )
    }),
  )
})
