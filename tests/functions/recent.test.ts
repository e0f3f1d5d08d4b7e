import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createRecent } from '../../functions/link/recent.ts'

test('a value that was set or read among the latest half of the keys is kept', () => {
  const max = 20
  const key = fc.integer({ min: 0, max: 60 }).map(String)
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), key)), (steps) => {
      const recent = createRecent<{ of: string; step: number }>(max)
      const latest = new Map<string, { of: string; step: number }>()
      const touch = (key: string, value: { of: string; step: number }) => {
        latest.delete(key)
        latest.set(key, value)
      }
      for (const [step, [sets, key]] of steps.entries()) {
        const found = sets ? undefined : recent.get(key)
        if (sets) recent.set(key, { of: key, step })
        const known = [...latest.keys()].slice(-max / 2).includes(key)
        if (!sets && known) expect(found).toBe(latest.get(key))
        // Never a value that was replaced, nor another key's.
        if (found) expect(found).toBe(latest.get(key))
        if (sets) touch(key, recent.get(key) ?? { of: '', step: -1 })
        else if (found) touch(key, found)
      }
    }),
    { numRuns: 500 },
  )
})

test('there are never more than the most', () => {
  const recent = createRecent<number>(10)
  for (let n = 0; n < 1000; n++) recent.set(String(n), n)
  const kept = Array.from({ length: 1000 }, (_, n) => recent.get(String(n))).filter(
    (value) => value !== undefined,
  )
  expect(kept.length).toBeLessThanOrEqual(10)
  expect(kept.length).toBeGreaterThanOrEqual(5)
})
