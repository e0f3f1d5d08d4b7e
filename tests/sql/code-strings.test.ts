import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { testDatabase } from '../support/database.ts'

const sql = await testDatabase()

async function normal(code: string): Promise<string | null> {
  const [row] = await sql`select referral_private.normalise_code(${code}) as key`
  return row?.key
}

describe('normalise_code', () => {
  test.for([
    ['7KQ2M9XT', '7KQ2M9XT'],
    ['7kq2-m9xt', '7KQ2M9XT'],
    [' 7KQ2\tM9XT\n', '7KQ2M9XT'],
    ['7KQ2—M9XT', '7KQ2M9XT'],
    ['７ｋｑ２－ｍ９ｘｔ', '7KQ2M9XT'],
    ['olivia-1', '011V1A1'],
    ['0LIV1A1', '011V1A1'],
    ['OIL', '011'],
    ['𝗔𝗕𝗖', 'ABC'],
    ['a\u00a0b\u3000c\u2060'.replace('\u2060', ''), 'ABC'],
    ['A'.repeat(32), 'A'.repeat(32)],
    [`${'A-'.repeat(31)}A`, 'A'.repeat(32)],
  ] as const)('reads %j as %s', async ([code, key]) => {
    expect(await normal(code)).toBe(key)
  })

  test.for([
    '',
    'AB',
    '--',
    'A'.repeat(33),
    'A'.repeat(10_000),
    'ABC\u200bDEF', // zero-width space
    'АВС', // Cyrillic
    'ABCı', // dotless i
    'ABC_DEF',
    'ABC.DEF',
    '😀😀😀',
    "' or 1=1 --",
    '{"code":"ABC"}',
    'https://example.org/ABC',
    '\u202eABC', // right-to-left override
    'ABC\u0301', // combining accent
  ])('finds no code in %j', async (code) => {
    expect(await normal(code)).toBeNull()
  })

  test('is its own normal form, whatever the text', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 40 }), async (text) => {
        const key = await normal(text.replaceAll('\0', '').replace(/\p{Cs}/gu, ''))
        if (key !== null) expect(await normal(key)).toBe(key)
      }),
      { numRuns: 500 },
    )
  })

  test('reads every spelling of a drawn code as that code', async () => {
    const separators = ['', '-', ' ', '–', ' - ', '\u3000']
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...separators), { minLength: 8, maxLength: 8 }),
        fc.boolean(),
        async (gaps, lower) => {
          const [row] = await sql`select referral_private.draw_code(8) as code`
          const code = String(row?.code).replace('-', '')
          const spelt = [...code].map((letter, i) => letter + gaps[i]).join('')
          expect(await normal(lower ? spelt.toLowerCase() : spelt)).toBe(code)
        },
      ),
      { numRuns: 200 },
    )
  })
})

describe('draw_code', () => {
  test.for([8, 12, 16])('draws %i characters in groups of four', async (length) => {
    const [row] = await sql`select referral_private.draw_code(${length}) as code`
    expect(row?.code).toMatch(/^([0-9A-HJKMNP-TV-Z]{4}-?)+$/)
    expect(String(row?.code).replaceAll('-', '')).toHaveLength(length)
  })

  test('draws every character about as often at every place', async () => {
    const draws = 32_000
    const counts = await sql`
      select place, substr(code, place, 1) as letter, count(*)::int as count
      from (select replace(referral_private.draw_code(16), '-', '') as code from generate_series(1, ${draws})) as drawn
      cross join generate_series(1, 16) as place
      group by 1, 2`
    // 1,000 of each are expected; six standard deviations are 190.
    expect(counts).toHaveLength(16 * 32)
    expect(Math.min(...counts.map(({ count }) => count))).toBeGreaterThan(810)
    expect(Math.max(...counts.map(({ count }) => count))).toBeLessThan(1190)
  })
})
