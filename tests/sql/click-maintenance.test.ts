import { describe, expect, test } from 'vitest'
import { type Actor, operator, refusal } from '../support/actors.ts'
import { linkScene, redeem } from '../support/clicks.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'

const sql = await testDatabase()

const maintain = async (tx: Sql, args: object = {}) =>
  (await operator(tx).rpc('maintain_clicks', { ...args }))[0]

/** The partition of the month that is so many months from now, in UTC. */
function partition(ahead: number): string {
  const now = new Date()
  const month = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + ahead, 1))
  return `clicks_${month.toISOString().slice(0, 7).replace('-', '_')}`
}

const partitions = async (tx: Sql) =>
  (
    await tx`
      select i.inhrelid::regclass::text as name from pg_inherits as i
      where i.inhparent = 'referral_private.clicks'::regclass order by 1`
  ).map(({ name }) => String(name).replace('referral_private.', ''))

/** Makes the partition of a month that is past, as the job would have made it then. */
const makePast = (tx: Sql, months: number) =>
  tx`select referral_private.make_month('referral_private.clicks', 
    date_trunc('month', now() at time zone 'utc') - make_interval(months => ${months}))`

/** Stores a click that is so many days old. */
const oldClick = ({ org, id }: { org: string; id: string }, tx: Sql, days: number) =>
  tx`
    insert into referral_private.clicks (org_id, code_id, click_id, clicked_at, counted, platform)
    values (${org}, ${id}, gen_random_uuid(), now() - make_interval(days => ${days}), true, 'web')`

describe('maintain_clicks', () => {
  test('makes the partitions of this month and the next two, once', () =>
    undone(sql, async (tx) => {
      expect(await maintain(tx)).toMatchObject({ partitions_made: 3, partitions_dropped: 0 })
      expect(await partitions(tx)).toEqual(
        [partition(0), partition(1), partition(2), 'clicks_default'].sort(),
      )
      expect(await maintain(tx)).toMatchObject({ partitions_made: 0, partitions_dropped: 0 })
    }))

  test('makes partitions with row-level security that nobody may use, whatever is granted by default', () =>
    undone(sql, async (tx) => {
      await tx`
        alter default privileges in schema referral_private
        grant all on tables to anon, authenticated, service_role`
      await maintain(tx)
      const rows = await tx`
        select c.relrowsecurity, array(
          select a.grantee::regrole::text from aclexplode(c.relacl) as a where a.grantee <> c.relowner) as granted
        from pg_inherits as i join pg_class as c on c.oid = i.inhrelid
        where i.inhparent = 'referral_private.clicks'::regclass`
      expect(rows).toEqual(Array(4).fill({ relrowsecurity: true, granted: [] }))
    }))

  test('lets the clicks of a month go to its partition, where a redemption finds them', () =>
    undone(sql, async (tx) => {
      const { code, friend, clicked } = await linkScene(tx)
      await maintain(tx)
      const click_id = await clicked()
      expect(await tx`select tableoid::regclass::text from referral_private.clicks`).toEqual([
        { tableoid: `referral_private.${partition(0)}` },
      ])
      expect(await redeem(friend, { code, click_id })).toHaveLength(1)
    }))

  test('leaves a month that began in the default partition there, and loses nothing', () =>
    undone(sql, async (tx) => {
      const { code, friend, clicked } = await linkScene(tx)
      const click_id = await clicked()
      expect(await maintain(tx)).toMatchObject({ partitions_made: 2 })
      expect(await partitions(tx)).not.toContain(partition(0))
      expect(await redeem(friend, { code, click_id })).toHaveLength(1)
    }))

  test('drops the partitions of months that ended before the retention began, and no other', () =>
    undone(sql, async (tx) => {
      for (const months of [1, 5, 6, 24]) await makePast(tx, months)
      expect(await maintain(tx)).toMatchObject({ partitions_made: 3, partitions_dropped: 3 })
      expect(await partitions(tx)).toContain(partition(-1))
      expect(await maintain(tx, { retention: '10 years' })).toMatchObject({ partitions_dropped: 0 })
    }))

  test('removes past clicks from the default partition, so many at a time', () =>
    undone(sql, async (tx) => {
      const staged = await linkScene(tx)
      for (const days of [119, 121, 150, 400]) await oldClick(staged, tx, days)
      expect(await maintain(tx, { max_rows: 2 })).toMatchObject({ clicks_removed: 2 })
      expect(await maintain(tx, { max_rows: 2 })).toMatchObject({ clicks_removed: 1 })
      expect(await maintain(tx, { retention: '100 days' })).toMatchObject({ clicks_removed: 1 })
      expect(await staged.stored()).toEqual([])
    }))

  test('forgets the visitors of past days and their keys, and keeps those of today', () =>
    undone(sql, async (tx) => {
      const { click } = await linkScene(tx)
      for (const n of [1, 2, 3]) await click({ address: `203.0.${n}.1` })
      await tx`update referral_private.visitors set day = day - 1`
      await tx`update referral_private.day_keys set day = day - 1`
      expect(await maintain(tx, { max_rows: 2 })).toMatchObject({ visitors_removed: 2 })
      expect(await tx`select from referral_private.day_keys`).toEqual([])
      await click()
      expect(await maintain(tx)).toMatchObject({ visitors_removed: 1 })
      expect(await tx`select from referral_private.visitors`).toHaveLength(1)
      expect(await tx`select from referral_private.day_keys`).toHaveLength(1)
    }))

  test('keeps the counts per day of clicks that are forgotten', () =>
    undone(sql, async (tx) => {
      const { id, mentor, click } = await linkScene(tx)
      await click()
      await tx`update referral_private.clicks set clicked_at = clicked_at - interval '1 year'`
      expect(await maintain(tx)).toMatchObject({ clicks_removed: 1 })
      expect(await clicksOf(mentor, id)).toBe(1)
    }))

  test('works in any time zone as in UTC', () =>
    undone(sql, async (tx) => {
      await tx`set local timezone to 'Pacific/Kiritimati'`
      await maintain(tx)
      expect(await partitions(tx)).toContain(partition(2))
      await tx`set local timezone to 'Pacific/Pago_Pago'`
      expect(await maintain(tx)).toMatchObject({ partitions_made: 0 })
      const [row] = await tx`
        select pg_get_expr(relpartbound, oid) as bound from pg_class where relname = ${partition(0)}`
      await tx`set local timezone to 'UTC'`
      const [utc] = await tx`
        select pg_get_expr(relpartbound, oid) as bound from pg_class where relname = ${partition(0)}`
      expect(row?.bound).not.toBe(utc?.bound)
      expect(utc?.bound).toMatch(/FROM \('....-..-01 00:00:00\+00'\)/)
    }))

  test.for(['89 days', '2 months', '-1 day', '0', '9999999 years', null])(
    'refuses a retention of %s with invalid_argument',
    (retention) =>
      undone(sql, async (tx) => {
        expect(await refusal(maintain(tx, { retention }))).toBe('invalid_argument')
      }),
  )
})

async function clicksOf(owner: Actor, codeId: string): Promise<number> {
  const rows = await owner.rpc('code_clicks', { code_id: codeId })
  return rows.reduce((sum, { clicks }) => sum + Number(clicks), 0)
}
