/**
 * Times that a caller's zone or styles could move: days are 24 hours and hours are UTC's, also where the caller's clock
 * changes meanwhile, and a text is read in one way.
 */
import { describe, expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator, person, refusal } from '../support/actors.ts'
import { linkScene, redeem } from '../support/clicks.ts'
import { dateCodes } from '../support/code-states.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { rewriteTerms } from '../support/histories.ts'
import { ingest } from '../support/ingest.ts'
import { codeOf, scene } from '../support/scene.ts'
import {
  apply,
  germanDates,
  kathmandu,
  newYork,
  rowsUnder,
  type Settings,
  sqlDates,
  zoneThatChanges,
} from '../support/settings.ts'

const sql = await testDatabase()
const seconds = (time: string) => Date.parse(time) / 1000
const tenPercent = { enrolment: 'open', commission: { kind: 'percent', bps: 1000 } }

/** Clocks went forward in New York on 9 March 2025, and back on 2 November. */
async function redeemedIn2025(tx: Sql, redeemedAt: string, terms: object) {
  const people = await scene(tx, { ...tenPercent, recurrence: 'forever', ...terms })
  const { code } = await codeOf(people.mentor, people.org)
  await people.friend.rpc('redeem_code', { code })
  await tx.unsafe(`
    update referral.redemptions set redeemed_at = '${redeemedAt}' where org_id = '${people.org}';
    set constraints all immediate`)
  await rewriteTerms(tx, `set valid_from = '2025-01-01Z' where org_id = '${people.org}'`)
  return { ...people, code }
}

async function earned(tx: Sql, org: string, owner: string) {
  const [row] = await operator(tx).rpc('my_earnings', { org_id: org, earner_id: owner })
  return Number(row?.available ?? 0) + Number(row?.pending ?? 0)
}

describe('in New York, while clocks change', () => {
  test.for([
    ['2025-03-01T12:00Z', '2025-03-31T11:30Z', 100],
    ['2025-03-01T12:00Z', '2025-03-31T12:30Z', 0],
    ['2025-10-15T12:00Z', '2025-11-14T11:30Z', 100],
    ['2025-10-15T12:00Z', '2025-11-14T12:30Z', 0],
  ] as const)(
    'a window of 30 days from %s: a sale at %s earns %i',
    ([redeemedAt, soldAt, amount]) =>
      undone(sql, async (tx) => {
        const terms = { conversion_window_days: 30 }
        const { org, mentor, friend } = await redeemedIn2025(tx, redeemedAt, terms)
        await apply(tx, newYork)
        await ingest(tx, paidInvoice({ userId: friend.id, at: seconds(soldAt) }))
        expect(await earned(tx, org, mentor.id)).toBe(amount)
      }),
  )

  test.for([
    ['2025-03-31T23:30Z', 200],
    ['2025-04-01T00:30Z', 100],
  ] as const)('a month after the first sale: with a second one at %s, %i', ([soldAt, amount]) =>
    undone(sql, async (tx) => {
      const terms = { recurrence: { months: 1 } }
      const { org, mentor, friend } = await redeemedIn2025(tx, '2025-03-01T10:00Z', terms)
      await apply(tx, newYork)
      for (const at of ['2025-03-01T12:00Z', soldAt])
        await ingest(tx, paidInvoice({ userId: friend.id, at: seconds(at) }))
      expect(await earned(tx, org, mentor.id)).toBe(amount)
    }),
  )

  test('a hold of seven days is explained as such', () =>
    undone(sql, async (tx) => {
      const terms = { hold_days: 7 }
      const { org, admin, friend } = await redeemedIn2025(tx, '2025-03-01T10:00Z', terms)
      const sale = paidInvoice({ userId: friend.id, at: seconds('2025-03-05T12:00Z') })
      await ingest(tx, sale)
      const args = { org_id: org, sale_id: sale.data.object.id }
      expect(await rowsUnder(tx, newYork, admin, 'explain_commission', args)).toMatchObject([
        { available_at: new Date('2025-03-12T12:00Z') },
      ])
    }))

  test.for([
    ['2025-03-05T12:30Z', 100],
    ['2025-03-05T11:30Z', 0],
  ] as const)(
    'a user is new for seven days: who signed up at %s earns %i',
    ([signedUpAt, amount]) =>
      undone(sql, async (tx) => {
        const people = await scene(tx, { ...tenPercent, new_users_only_days: 7 })
        const { code } = await codeOf(people.mentor, people.org)
        await tx.unsafe(`
        insert into auth.users (id, created_at) values ('${people.friend.id}', '${signedUpAt}')`)
        await rewriteTerms(tx, `set valid_from = '2025-01-01Z' where org_id = '${people.org}'`)
        await dateCodes(tx, people.org, '2025-01-01Z')
        await apply(tx, newYork)
        const about = { userId: people.friend.id, code, customer: 'cus_1' }
        await ingest(tx, completedSession({ ...about, at: seconds('2025-03-12T12:00Z') }))
        await ingest(tx, paidInvoice({ ...about, at: seconds('2025-03-12T12:01Z') }))
        expect(await earned(tx, people.org, people.mentor.id)).toBe(amount)
      }),
  )
})

/** Half an hour less than so many days ago: later than that many days, but not where one of them has 23 hours. */
const almost = (days: number) => new Date(Date.now() - days * 86_400_000 + 1_800_000)

describe('with a clock that went forward three days ago', () => {
  const zone = zoneThatChanges(-3)

  test('a hold of seven days is not over before its time', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx, { ...tenPercent, hold_days: 7 })
      await friend.rpc('redeem_code', { code: (await codeOf(mentor, org)).code })
      await tx`update referral.redemptions set redeemed_at = ${almost(8)} where org_id = ${org}`
      await rewriteTerms(
        tx,
        `set valid_from = '${almost(9).toISOString()}' where org_id = '${org}'`,
      )
      await apply(tx, zone)
      const at = Math.floor(almost(7).getTime() / 1000)
      await ingest(tx, paidInvoice({ userId: friend.id, at }))
      await operator(tx).rpc('release_due_commissions')
      expect(await mentor.rpc('my_earnings', { org_id: org })).toMatchObject([
        { pending: 100n, available: 0n },
      ])
    }))

  test('a redemption whose conversion window is open has not expired', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx, { ...tenPercent, conversion_window_days: 30 })
      await friend.rpc('redeem_code', { code: (await codeOf(mentor, org)).code })
      await tx`update referral.redemptions set redeemed_at = ${almost(30)} where org_id = ${org}`
      expect(await rowsUnder(tx, zone, operator(tx), 'expire_redemptions')).toEqual([
        { expire_redemptions: 0 },
      ])
    }))

  test('a click proves a redemption as long as the organisation says', () =>
    undone(sql, async (tx) => {
      const { clicked, code, friend, org } = await linkScene(tx)
      const click_id = await clicked()
      await tx`update referral_private.clicks set clicked_at = ${almost(30)} where org_id = ${org}`
      await apply(tx, zone)
      expect(await redeem(friend, { code, click_id })).toHaveLength(1)
    }))

  test('maintain_clicks keeps what it is told to keep', () =>
    undone(sql, async (tx) => {
      const { clicked, org } = await linkScene(tx)
      await clicked()
      await tx`update referral_private.clicks set clicked_at = ${almost(120)} where org_id = ${org}`
      const args = { retention: '120 days' }
      expect(await rowsUnder(tx, zone, operator(tx), 'maintain_clicks', args)).toMatchObject([
        { clicks_removed: 0 },
      ])
    }))

  test('a claim from sign-up is kept for 90 days', () =>
    undone(sql, async (tx) => {
      await tx`
        insert into referral_private.sign_up_claims (user_id, code, claimed_at)
        values (gen_random_uuid(), 'ABC', ${almost(90)})`
      expect(await rowsUnder(tx, zone, operator(tx), 'purge_sign_up_claims')).toEqual([
        { purge_sign_up_claims: 0 },
      ])
    }))

  test('a user is new for as many days as the terms say', () =>
    undone(sql, async (tx) => {
      const terms = { ...tenPercent, new_users_only_days: 7 }
      const { org, mentor, friend } = await scene(tx, terms)
      const { code } = await codeOf(mentor, org)
      await tx`insert into auth.users (id, created_at) values (${friend.id}, ${almost(7)})`
      await apply(tx, zone)
      expect(await friend.rpc('redeem_code', { code })).toHaveLength(1)
    }))
})

test.for(['7 days', '168:00:00'])(
  'with a clock that goes forward in three days, a grace of %s is 168 hours',
  (grace) =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      const { id } = await codeOf(mentor, org)
      await rowsUnder(tx, zoneThatChanges(3), mentor, 'rotate_code', { org_id: org, grace })
      const [row] = await tx`
        select round(extract(epoch from redeemable_until - ended_at))::int as seconds
        from referral.codes where id = ${id}`
      expect(row?.seconds).toBe(168 * 3600)
    }),
)

describe('in Kathmandu, a quarter of an hour beside all others', () => {
  test('redemptions are counted by the hour in UTC', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      for (const zone of ['UTC', 'Asia/Kathmandu', 'Asia/Kolkata']) {
        await apply(tx, { TimeZone: zone })
        await person(tx).rpc('redeem_code', { code })
      }
      const rows = await tx`
        select hour = date_trunc('hour', hour, 'UTC') as whole from referral_private.rate_limit_buckets
        where org_id = ${org}`
      expect(rows).toEqual(Array(3).fill({ whole: true }))
    }))

  test('purge_rate_limits forgets what is older than the last whole hour in UTC', () =>
    undone(sql, async (tx) => {
      const { org } = await scene(tx)
      await tx`
        insert into referral_private.rate_limit_buckets (org_id, bucket, hour, redemptions)
        select ${org}, 'minute ' || n, date_trunc('minute', now()) - make_interval(mins => n), 1
        from generate_series(0, 239) as n`
      await rowsUnder(tx, kathmandu, operator(tx), 'purge_rate_limits')
      const [row] = await tx`
        select min(hour) = date_trunc('hour', now(), 'UTC') - interval '1 hour' as whole
        from referral_private.rate_limit_buckets`
      expect(row?.whole).toBe(true)
    }))
})

test('a month’s partition is that of UTC, whatever the dates and zone of the job that makes it', () =>
  undone(sql, async (tx) => {
    await apply(tx, germanDates)
    await operator(tx).rpc('maintain_clicks')
    await apply(tx, { TimeZone: 'UTC', DateStyle: 'ISO, MDY' })
    const rows = await tx`
      select pg_get_expr(c.relpartbound, c.oid) as bounds from pg_inherits as i join pg_class as c on c.oid = i.inhrelid
      where i.inhparent = 'referral_private.clicks'::regclass and c.relname <> 'clicks_default'`
    expect(rows).toHaveLength(3)
    const midnights = /'\d{4}-\d\d-01 00:00:00\+00'.+'\d{4}-\d\d-01 00:00:00\+00'/
    for (const { bounds } of rows) expect(bounds).toMatch(midnights)
  }))

describe('a text', () => {
  const styles: [string, Settings][] = [
    ['days first in New York', { ...sqlDates, ...newYork }],
    ['German in India', germanDates],
    ['ISO in Kathmandu', kathmandu],
    ['intervals of the SQL standard', { IntervalStyle: 'sql_standard' }],
  ]
  const times = [
    ['2099-02-01', '2099-02-02T00:00Z'],
    ['2099-02-01 10:00', '2099-02-01T10:00Z'],
    ['2099-02-01T10:00:00+02:00', '2099-02-01T08:00Z'],
  ] as const

  test.for(styles)(
    'for a time is read as UTC’s, and the day before the month refused, with %s',
    ([, settings]) =>
      undone(sql, async (tx) => {
        const { org, mentor, coordinator } = await scene(tx)
        const { id: code_id } = await codeOf(mentor, org)
        for (const [n, [text, time]] of times.entries()) {
          const changes = { expires_at: text }
          expect(
            await rowsUnder(tx, settings, coordinator, 'update_code', { code_id, changes }),
          ).toMatchObject([{ expires_at: new Date(time) }])
          const args = { org_id: org, rows: [{ code: `TEXT${n}`, expires_at: text }] }
          await rowsUnder(tx, settings, coordinator, 'import_codes', args)
          const [row] = await tx`select expires_at from referral.codes where code = ${`TEXT${n}`}`
          expect(row?.expires_at, text).toEqual(new Date(time))
          const dry = { org_id: org, rows: [{ code: 'DRY', expires_at: text }], dry_run: true }
          const [planned] = await rowsUnder(tx, settings, coordinator, 'import_codes', dry)
          const utc = new Date(time).toISOString().replace('.000Z', '+00:00')
          expect(planned?.rows).toMatchObject([{ expires_at: utc }])
        }
        const changes = { expires_at: '01/02/2099' }
        const call = rowsUnder(tx, settings, coordinator, 'update_code', { code_id, changes })
        expect(await refusal(call)).toBe('invalid_argument')
      }),
  )

  test.for(styles)('for an interval is read as Postgres usually does, with %s', ([, settings]) =>
    undone(sql, async (tx) => {
      const { org, admin } = await scene(tx)
      for (const [text, hours] of [
        ['-1 50:00:00', 26],
        ['2 days', 48],
      ] as const) {
        const changes = { click_window: text, rotation_grace: text }
        await rowsUnder(tx, settings, admin, 'update_organisation', { org_id: org, changes })
        const rows = await tx`
          select extract(epoch from click_window)::int / 3600 as click, extract(epoch from rotation_grace)::int / 3600 as grace
          from referral.organisations where id = ${org}`
        expect(rows, text).toEqual([{ click: hours, grace: hours }])
      }
    }),
  )
})
