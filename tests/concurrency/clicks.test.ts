/** Clicks at once, and people who redeem with one. */
import { describe, expect, test } from 'vitest'
import { operator, person, refusal } from '../support/actors.ts'
import { linkScene, recordClick, redeem, visitor } from '../support/clicks.ts'
import { type Sql, testDatabase } from '../support/database.ts'
import { sessions } from '../support/sessions.ts'

const sql = await testDatabase()
/** Redeems as somebody new from this address. */
async function redeemFrom(tx: Sql, address: string, code: string): Promise<void> {
  const headers = JSON.stringify({ 'cf-connecting-ip': address })
  await tx`select set_config('request.headers', ${headers}, true)`
  await person(tx).rpc('redeem_code', { code })
}

const times = (count: number) => Array.from({ length: count }, (_, i) => i)

describe('one click', () => {
  test('that two people redeem with at once is the first one’s', () =>
    sessions(sql, async (one, other) => {
      const { code, clicked } = await linkScene(sql)
      const click_id = await clicked()
      await redeem(person(one.tx), { code, click_id })
      const second = refusal(redeem(person(other.tx), { code, click_id }))
      await other.blocked()
      await one.commit()
      expect(await second).toBe('invalid_click')
    }))

  test('is the second one’s when the first gives up', () =>
    sessions(sql, async (one, other) => {
      const { code, clicked } = await linkScene(sql)
      const click_id = await clicked()
      await redeem(person(one.tx), { code, click_id })
      const second = redeem(person(other.tx), { code, click_id })
      await other.blocked()
      await one.rollback()
      expect(await second).toHaveLength(1)
    }))

  test('backs one redemption of 32 people who try at once', async () => {
    const { org, code, clicked } = await linkScene(sql)
    const click_id = await clicked()
    const outcomes = await Promise.all(
      times(32).map(() =>
        redeem(person(sql), { code, click_id }).then(
          () => 'ok',
          (error) => refusal(Promise.reject(error)),
        ),
      ),
    )
    expect(outcomes.sort()).toEqual([...Array(31).fill('invalid_click'), 'ok'])
    expect(await sql`select from referral.redemptions where org_id = ${org}`).toHaveLength(1)
  })

  test('that is sent again while it is being stored is stored once', () =>
    sessions(sql, async (one, other) => {
      const { code, stored } = await linkScene(sql)
      const given = { code, click_id: crypto.randomUUID() }
      expect(await recordClick(one.tx, { ...given, address: '10.0.0.1' })).toBe(true)
      const second = recordClick(other.tx, { ...given, address: '10.0.0.2' })
      await other.blocked()
      await one.commit()
      expect(await second).toBe(true)
      await other.commit()
      expect(await stored()).toHaveLength(1)
    }))

  test('that is sent 32 times at once is stored once, and every answer is the same', async () => {
    const { click, stored } = await linkScene(sql)
    const click_id = crypto.randomUUID()
    const answers = await Promise.all(
      times(32).map((n) => click({ click_id, address: `10.0.${n}.1` })),
    )
    expect(new Set(answers)).toEqual(new Set([true]))
    expect(await stored()).toHaveLength(1)
  })
})

describe('one visitor', () => {
  test('who clicks 200 times at once counts once, and is stored as often as is allowed', async () => {
    const { id, mentor, click, stored } = await linkScene(sql)
    const answers = await Promise.all(times(200).map(() => click()))
    expect(answers.filter(Boolean)).toHaveLength(1)
    expect(await stored()).toHaveLength(20)
    expect(await mentor.rpc('code_clicks', { code_id: id })).toMatchObject([{ clicks: 1 }])
  })
})

describe('many visitors', () => {
  test('who click on three codes at once are counted as they are stored', async () => {
    const codes = [await linkScene(sql), await linkScene(sql), await linkScene(sql)]
    const via = ['qr', 'share', null]
    const answers = await Promise.all(
      times(300).map((n) => {
        const { code } = codes[n % 3] ?? { code: '' }
        return codes[0]?.click({ code, address: `10.3.${n % 30}.1`, channel: via[n % 7] ?? null })
      }),
    )
    expect(answers.filter(Boolean)).toHaveLength(30)
    const orgs = codes.map(({ org }) => org)
    const [rows] = await sql`
      select count(*)::int as stored, count(*) filter (where counted)::int as clicks
      from referral_private.clicks where org_id in ${sql(orgs)}`
    const [counts] = await sql`
      select sum(stored)::int as stored, sum(clicks)::int as clicks
      from referral_private.click_days where org_id in ${sql(orgs)}`
    expect(rows).toEqual({ stored: 300, clicks: 30 })
    expect(counts).toEqual(rows)
  })
})

describe('clicks on one code', () => {
  test('do not wait for each other, and all of them are counted', () =>
    sessions(sql, async (one, other) => {
      const { id, code, mentor } = await linkScene(sql)
      const from = (tx: Sql, address: string) => recordClick(tx, { code, ...visitor, address })
      expect(await from(one.tx, '10.4.1.1')).toBe(true)
      expect(await from(other.tx, '10.4.2.1')).toBe(true)
      await one.commit()
      expect(await from(other.tx, '10.4.3.1')).toBe(true)
      await other.commit()
      expect(await mentor.rpc('code_clicks', { code_id: id })).toMatchObject([{ clicks: 3 }])
      const counts = await sql`
        select stored from referral_private.click_days where code_id = ${id} order by slot`
      expect(counts).toEqual([{ stored: 2 }, { stored: 1 }])
    }))

  test('add to a count that another click has made at the same time', () =>
    sessions(sql, async (one, other) => {
      const { org, id, code, mentor } = await linkScene(sql)
      const from = (tx: Sql, address: string) => recordClick(tx, { code, ...visitor, address })
      await from(one.tx, '10.6.1.1')
      const [{ slot } = { slot: 0 }] = await other.tx`select 1 + pg_backend_pid() % 15 as slot`
      await one.tx`
        insert into referral_private.click_days (org_id, code_id, day, platform, channel, slot, clicks, stored)
        values (${org}, ${id}, (now() at time zone 'utc')::date, 'web', '', ${slot}, 1, 1)`
      const counted = from(other.tx, '10.6.2.1')
      await other.blocked()
      await one.commit()
      expect(await counted).toBe(true)
      await other.commit()
      expect(await mentor.rpc('code_clicks', { code_id: id })).toMatchObject([{ clicks: 3 }])
    }))

  test('share the limit of the code, in whichever rows they are counted', () =>
    sessions(sql, async (one, other) => {
      const { org, code, admin, click } = await linkScene(sql)
      await admin.rpc('update_organisation', { org_id: org, changes: { clicks_per_code: 2 } })
      for (const [n, { tx }] of [one, other].entries())
        await recordClick(tx, { code, ...visitor, address: `10.5.${n}.1` })
      await one.commit()
      await other.commit()
      expect(await click()).toBe(false)
    }))
})

describe('a click that waits too long', () => {
  test('is answered busy', () =>
    sessions(sql, async (holder) => {
      const { code, click } = await linkScene(sql)
      const first = { code, click_id: crypto.randomUUID(), ...visitor }
      await operator(holder.tx).rpc('record_click', first)
      expect(await refusal(click())).toBe('busy')
    }))
})

describe('the first clicks of a day', () => {
  test('by 32 visitors at once draw one key, and all count', async () => {
    await sql`truncate referral_private.day_keys`
    const { id, mentor, click } = await linkScene(sql)
    const answers = await Promise.all(times(32).map((n) => click({ address: `10.1.${n}.1` })))
    expect(answers.every(Boolean)).toBe(true)
    expect(await sql`select from referral_private.day_keys`).toHaveLength(1)
    expect(await mentor.rpc('code_clicks', { code_id: id })).toMatchObject([{ clicks: 32 }])
  })

  test('by 16 people who redeem from one address at once draw one key, and one count has all', async () => {
    await sql`truncate referral_private.day_keys, referral_private.rate_limit_buckets`
    const { code } = await linkScene(sql)
    await Promise.all(times(16).map(() => sql.begin((tx) => redeemFrom(tx, '10.3.1.1', code))))
    expect(await sql`select from referral_private.day_keys`).toHaveLength(1)
    const counts = await sql`
      select redemptions from referral_private.rate_limit_buckets where bucket like 'address:%'`
    expect(counts).toEqual([{ redemptions: 16 }])
  })
})

describe('maintain_clicks', () => {
  test('waits for a click under way, and then leaves its month where the click is', () =>
    sessions(sql, async (clicker, job) => {
      await sql`truncate referral_private.clicks`
      const { code } = await linkScene(sql)
      const args = { code, click_id: crypto.randomUUID() }
      await operator(clicker.tx).rpc('record_click', args)
      const kept = operator(job.tx).rpc('maintain_clicks')
      await job.blocked()
      await clicker.commit()
      expect(await kept).toMatchObject([{ partitions_made: 2 }])
    }))

  test('by four schedulers at once, among clicks and redemptions, makes each partition once and loses nothing', async () => {
    const { code, clicked, click, stored } = await linkScene(sql)
    const ids = await Promise.all(times(10).map(() => clicked()))
    const answers = await Promise.all([
      ...times(4).map(() => operator(sql).rpc('maintain_clicks')),
      ...times(50).map((n) => click({ address: `10.2.${n}.1` })),
      ...ids.map((click_id) => redeem(person(sql), { code, click_id })),
    ])
    const made = answers
      .slice(0, 4)
      .map((rows) => Number((rows as { partitions_made: number }[])[0]?.partitions_made))
    expect(made.sort()).toEqual([0, 0, 0, 2])
    expect(await stored()).toHaveLength(60)
  })

  test('waits for another scheduler, and makes nothing twice', () =>
    sessions(sql, async (first, second) => {
      await sql`truncate referral_private.clicks`
      for (const {
        partition,
      } of await sql`select partition from referral_private.months_of('referral_private.clicks')`)
        await sql`drop table ${sql(`referral_private.${partition}`)}`
      expect(await operator(first.tx).rpc('maintain_clicks')).toMatchObject([
        { partitions_made: 3 },
      ])
      const waiting = operator(second.tx).rpc('maintain_clicks')
      await second.blocked()
      await first.commit()
      expect(await waiting).toMatchObject([{ partitions_made: 0 }])
    }))

  test('answers busy rather than wait for a long transaction', () =>
    sessions(sql, async (reader) => {
      await sql`select referral_private.make_month('referral_private.clicks', '2000-01-01')`
      await reader.tx`select from referral_private.clicks limit 1`
      expect(await refusal(operator(sql).rpc('maintain_clicks'))).toBe('busy')
    }))
})
