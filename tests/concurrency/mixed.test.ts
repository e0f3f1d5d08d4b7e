/**
 * Mixed worlds at once: all steps of a world, some twice, over parallel connections. Whatever order they take, the ledger
 * is the oracle's. `BURSTS` says how many times four worlds.
 */
import fc from 'fast-check'
import { test } from 'vitest'
import { terms } from '../fixtures/mixed-terms.ts'
import { world } from '../fixtures/mixed-world.ts'
import { testDatabase } from '../support/database.ts'
import { checkLedger } from '../support/ledger.ts'
import { stepsOf } from '../support/mixed.ts'
import { stageCompany, useTerms } from '../support/mixed-stage.ts'
import { release } from '../support/money.ts'
import { often, proved } from '../support/soak.ts'

const sql = await testDatabase()
const bursts = often('BURSTS', 1)
const together = 4
const seed = Number(process.env.STORY_SEED ?? Date.now() % 2 ** 31)

test(`mixed worlds at once end as the oracle says (seed ${seed})`, {
  timeout: 7_200_000,
}, async () => {
  const worlds = fc.sample(fc.tuple(world, terms), { numRuns: bursts * together, seed })
  for (const [n, [of, agreed]] of worlds.entries()) {
    const staged = await stageCompany(sql, `w${n}x`)
    await useTerms(staged, agreed)
    const steps = await stepsOf(staged, of)
    const twice = steps.filter((_, place) => place % 3 === 0)
    await Promise.all([...steps, ...twice.toReversed()].map((step) => step()))
    if ((n + 1) % together) continue
    await release(sql)
    await checkLedger(sql)
  }
  proved('mixed worlds, all steps at once', worlds.length)
})
