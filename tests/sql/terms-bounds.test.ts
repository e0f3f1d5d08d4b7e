/** How much terms may say, and how often they may change. */
import { describe, expect, test } from 'vitest'
import { details, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { rewriteTerms } from '../support/histories.ts'
import { scene } from '../support/scene.ts'

const sql = await testDatabase()

describe('terms that say too much', () => {
  test('payout_minimum is said to be no term', () =>
    undone(sql, async (tx) => {
      const { program, admin } = await scene(tx)
      for (const payout_minimum of [{ usd: 5000 }, null]) {
        const changes = { terms: { payout_minimum } }
        expect(await details(admin.rpc('update_program', { program_id: program, changes }))).toBe(
          'payout_minimum: no term of a program',
        )
      }
    }))

  test('are refused beyond 16 KiB, given or together with those in force', () =>
    undone(sql, async (tx) => {
      const { org, program, admin } = await scene(tx)
      const half = Object.fromEntries(
        Array.from({ length: 850 }, (_, n) => [
          String.fromCharCode(97 + (n % 26), 97 + (Math.floor(n / 26) % 26), 97 + (n >> 9)),
          1,
        ]),
      )
      const create = (terms: object) =>
        refusal(admin.rpc('create_program', { org_id: org, key: 'x', name: 'X', terms }))
      expect(await create({ minimum_sale: half, max_commission_per_referral: half })).toBe(
        'invalid_terms',
      )
      const change = (terms: object) =>
        admin.rpc('update_program', { program_id: program, changes: { terms } })
      await change({ minimum_sale: half })
      expect(await details(change({ max_commission_per_referral: half }))).toBe(
        'terms are longer than 16 KiB',
      )
    }))
})

describe('how much terms may say, and how often they may change', () => {
  /** Terms whose JSON has so many bytes: smallest sales in 1,490 currencies, the last of which are long numbers. */
  const ofBytes = async (tx: Sql, bytes: number) => {
    const minimum_sale = Object.fromEntries(
      Array.from({ length: 1490 }, (_, n) => [
        [n % 26, Math.floor(n / 26) % 26, Math.floor(n / 676)]
          .map((letter) => String.fromCharCode(97 + letter))
          .join(''),
        1,
      ]),
    )
    const size = async () => {
      const [row] = await tx`
        select octet_length(${tx.json({ minimum_sale })}::jsonb::text)::int as size`
      return Number(row?.size)
    }
    for (const currency of Object.keys(minimum_sale)) {
      const left = bytes - (await size())
      if (left === 0) return { minimum_sale }
      minimum_sale[currency] = 10 ** Math.min(left, 15)
    }
    throw new Error('too few currencies')
  }

  test('16,384 bytes are taken, and not one more', () =>
    undone(sql, async (tx) => {
      const require = (terms: object) =>
        tx`select referral_private.require_terms(${tx.json(terms as never)}, false)`
      expect(await require(await ofBytes(tx, 16_384))).toHaveLength(1)
      expect(await details(require(await ofBytes(tx, 16_385)))).toBe('terms are longer than 16 KiB')
    }))

  test('bytes count, not letters', () =>
    undone(sql, async (tx) => {
      const terms = { ['ä'.repeat(9000)]: 1 }
      const call = tx`select referral_private.require_terms(${tx.json(terms)}, false)`
      expect(await details(call)).toBe('terms are longer than 16 KiB')
    }))

  test('50 versions in 24 hours, of each program, and not one more', () =>
    undone(sql, async (tx) => {
      const { org, program, admin } = await scene(tx)
      const change = (hold_days: number) =>
        admin.rpc('update_program', { program_id: program, changes: { terms: { hold_days } } })
      const aged = (version: number, age: string) =>
        rewriteTerms(
          tx,
          `set valid_from = clock_timestamp() - interval '${age}', valid_to = valid_from + interval '1 hour'
          where program_id = '${program}' and version = ${version}`,
        )
      const [other] = await admin.rpc('create_program', { org_id: org, key: 'x', name: 'X' })
      await tx`
        insert into referral.program_terms (org_id, program_id, version, terms, valid_from, valid_to)
        select ${org}, id, n, '{}', now() - interval '1 hour', now()
        from generate_series(1001, 1048) as n, unnest(array[${program}, ${String(other?.id)}]::uuid[]) as id`
      // Version 1 and 48 more are of today.
      await change(1)
      expect(await refusal(change(2))).toBe('rate_limited')
      await aged(1001, '23 hours 59 minutes')
      expect(await refusal(change(2))).toBe('rate_limited')
      await aged(1001, '24 hours 1 minute')
      await change(2)
      expect(await details(change(3))).toBe('50 versions of terms in 24 hours')
    }))
})
