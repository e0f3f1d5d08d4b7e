/** Batches of codes: so many rows a day for staff, whatever came of them. */
import { describe, expect, test } from 'vitest'
import { type Actor, details, operator, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

const generate = (by: Actor, org: string, count: number) =>
  by.rpc('generate_codes', { org_id: org, count })
const take = (by: Actor, org: string, codes: string[], args: object = {}) =>
  by.rpc('import_codes', { org_id: org, rows: codes.map((code) => ({ code })), ...args })
const allow = (tx: Sql, org: string, rows: number) =>
  operator(tx).rpc('update_organisation', { org_id: org, changes: { batch_rows_per_day: rows } })

describe('batch_rows_per_day', () => {
  test('is 100,000', () =>
    undone(sql, async (tx) => {
      const { org } = await scene(tx)
      expect(await allow(tx, org, 100_000)).toMatchObject([{ batch_rows_per_day: 100_000 }])
    }))

  test('counts codes that are generated, imported, refused because they are taken, and tried', () =>
    undone(sql, async (tx) => {
      const { org, admin, coordinator, mentor } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      await allow(tx, org, 10)
      await generate(coordinator, org, 4)
      await take(admin, org, ['BATCH-A1', 'BATCH-A2'])
      expect(await take(coordinator, org, [String(code)])).toMatchObject([{ made: 0 }])
      await take(coordinator, org, ['BATCH-B1', 'BATCH-B2'], { dry_run: true })
      await take(coordinator, org, ['BATCH-B1', ''])
        .then(() => expect.unreachable())
        .catch((error) => expect(error.message).toContain('rate_limited'))
      expect(await generate(coordinator, org, 1)).toMatchObject([{ made: 1 }])
      for (const call of [
        () => generate(coordinator, org, 1),
        () => take(admin, org, ['BATCH-C1']),
        () => take(admin, org, ['BATCH-C1'], { dry_run: true }),
      ]) {
        expect(await details(call())).toBe(
          '10 rows of batches in 24 hours; the operator can raise batch_rows_per_day',
        )
        expect(await refusal(call())).toBe('rate_limited')
      }
    }))

  test('of an organisation is its own, and does not bind the operator', () =>
    undone(sql, async (tx) => {
      const [one, other] = [await scene(tx), await scene(tx)]
      await allow(tx, one.org, 5)
      await allow(tx, other.org, 50)
      expect(await generate(operator(tx), one.org, 50)).toMatchObject([{ made: 50 }])
      expect(await generate(one.coordinator, one.org, 5)).toMatchObject([{ made: 5 }])
      expect(await generate(other.coordinator, other.org, 50)).toMatchObject([{ made: 50 }])
    }))

  test('counts 24 hours', () =>
    undone(sql, async (tx) => {
      const { org, coordinator } = await scene(tx)
      await allow(tx, org, 5)
      await generate(coordinator, org, 5)
      const age = (interval: string) =>
        tx`update referral_private.code_batches set asked_at = clock_timestamp() - ${interval}::interval`
      await age('23 hours 59 minutes')
      expect(await refusal(generate(coordinator, org, 1))).toBe('rate_limited')
      await age('24 hours 1 minute')
      expect(await generate(coordinator, org, 5)).toMatchObject([{ made: 5 }])
    }))

  test('is set by the operator only', () =>
    undone(sql, async (tx) => {
      const { org, admin } = await scene(tx)
      const changes = { batch_rows_per_day: 1_000_000 }
      const call = () => admin.rpc('update_organisation', { org_id: org, changes })
      expect(await refusal(call())).toBe('not_allowed')
    }))

  test.for([-1, 10_000_001, null, 'many'])('cannot be %j', (rows) =>
    undone(sql, async (tx) => {
      const { org } = await scene(tx)
      expect(await refusal(allow(tx, org, rows as number))).toBe('invalid_argument')
    }),
  )

  test('of 0 leaves batches to the operator', () =>
    undone(sql, async (tx) => {
      const { org, coordinator } = await scene(tx)
      await allow(tx, org, 0)
      expect(await refusal(generate(coordinator, org, 1))).toBe('rate_limited')
      expect(await generate(operator(tx), org, 1)).toMatchObject([{ made: 1 }])
    }))
})
