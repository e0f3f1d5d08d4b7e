/** What is known of an address: a hash under a key that lives a day. */
import { expect, test } from 'vitest'
import { operator, person } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const address = '203.0.113.7'

const bucketOf = async (tx: Sql, day: string, org: string) => {
  const [row] =
    await tx`select referral_private.address_bucket(${day}, ${org}, ${address}) as bucket`
  return String(row?.bucket)
}
const keys = (tx: Sql) =>
  tx`select day::text as day, key from referral_private.day_keys order by day`

test('an address has one hash on a day, and another on the next, when the first day’s key is gone', () =>
  undone(sql, async (tx) => {
    const org = crypto.randomUUID()
    const [first, again] = [
      await bucketOf(tx, '2030-01-01', org),
      await bucketOf(tx, '2030-01-01', org),
    ]
    expect(first).toMatch(/^address:[0-9a-f]{64}$/)
    expect(again).toBe(first)
    const [before] = await keys(tx)
    expect(await bucketOf(tx, '2030-01-02', org)).not.toBe(first)
    const after = await keys(tx)
    expect(after).toMatchObject([{ day: '2030-01-02' }])
    expect(after[0]?.key).not.toEqual(before?.key)
  }))

test('an address has nothing in common in two organisations', () =>
  undone(sql, async (tx) => {
    const [one, other] = [crypto.randomUUID(), crypto.randomUUID()]
    expect(await bucketOf(tx, '2030-01-01', one)).not.toBe(await bucketOf(tx, '2030-01-01', other))
  }))

test('only who has the day’s key can compute a hash from an address', () =>
  undone(sql, async (tx) => {
    const org = crypto.randomUUID()
    const bucket = await bucketOf(tx, '2030-01-01', org)
    const [computed] = await tx`
      select 'address:' || encode(sha256(k.key || sha256(${`${org} ${address}`}::bytea)), 'hex') as bucket,
        octet_length(k.key) as bytes
      from referral_private.day_keys as k`
    expect(computed).toEqual({ bucket, bytes: 32 })
    await tx`update referral_private.day_keys set key = sha256(key)`
    expect(await bucketOf(tx, '2030-01-01', org)).not.toBe(bucket)
  }))

/** Redeems as somebody new from the address. */
async function redeem(tx: Sql, code: string): Promise<void> {
  const headers = JSON.stringify({ 'cf-connecting-ip': address })
  await tx`select set_config('request.headers', ${headers}, true)`
  await person(tx).rpc('redeem_code', { code })
}

test('redemptions of two days from one address cannot be joined', () =>
  undone(sql, async (tx) => {
    const { org, mentor } = await scene(tx)
    const { code } = await codeOf(mentor, org)
    const buckets = () =>
      tx`select bucket, redemptions from referral_private.rate_limit_buckets where bucket like 'address:%'`
    await redeem(tx, code)
    await redeem(tx, code)
    expect(await buckets()).toMatchObject([{ redemptions: 2 }])
    await tx`update referral_private.day_keys set day = day - 1`
    await redeem(tx, code)
    expect((await buckets()).map(({ redemptions }) => redemptions).sort()).toEqual([1, 2])
    expect(
      await tx`
      select day = (clock_timestamp() at time zone 'utc')::date as today from referral_private.day_keys`,
    ).toEqual([{ today: true }])
  }))

test('purge_rate_limits removes the keys of past days, also where nobody has called since', () =>
  undone(sql, async (tx) => {
    const { org, mentor } = await scene(tx)
    const { code } = await codeOf(mentor, org)
    await redeem(tx, code)
    await operator(tx).rpc('purge_rate_limits')
    expect(await keys(tx)).toHaveLength(1)
    await tx`update referral_private.day_keys set day = day - 1`
    await operator(tx).rpc('purge_rate_limits')
    expect(await keys(tx)).toEqual([])
  }))

test('a redemption without an address draws no key', () =>
  undone(sql, async (tx) => {
    const { org, mentor } = await scene(tx)
    const { code } = await codeOf(mentor, org)
    await person(tx).rpc('redeem_code', { code })
    expect(await keys(tx)).toEqual([])
  }))
