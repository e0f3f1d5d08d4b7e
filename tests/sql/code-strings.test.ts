import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { testDatabase } from '../support/database.ts'

const sql = await testDatabase()

async function normal(code: string): Promise<string | null> {
  const [row] = await sql`select referral_private.normalise_code(${code}) as key`
  return row?.key
}

/** Every character that has this property by itself and in its compatibility form. */
function charactersLike(property: RegExp): string[] {
  const all = Array.from({ length: 0x110000 }, (_, point) => point)
    .filter((point) => point > 0 && (point < 0xd800 || point > 0xdfff))
    .map((point) => String.fromCodePoint(point))
  return all.filter(
    (c) => property.test(c) && [...c.normalize('NFKC')].every((k) => property.test(k)),
  )
}

/** The characters with which a text is not the code that it should be. */
async function without(characters: string[], spell: (c: string) => string, key = 'ABC') {
  const rows = await sql`
    select c.character from unnest(${characters}::text[], ${characters.map(spell)}::text[])
      with ordinality as c (character, text, place)
    where referral_private.normalise_code(c.text) is distinct from ${key} order by c.place`
  return rows.map(({ character }) => character)
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
    ['a\u00a0b\u3000c\u2060', 'ABC'],
    ['ABC\u200bDEF', 'ABCDEF'], // zero-width space
    ['\u202eABC', 'ABC'], // right-to-left override
    ['\u2066ABC\u2069', 'ABC'],
    ['oli\u00advia-1', '011V1A1'], // soft hyphen
    ['ABC\ufe0f', 'ABC'], // variation selector
    ['\ufeffABC', 'ABC'],
    ['“7KQ2-M9XT”', '7KQ2M9XT'],
    ['»7KQ2-M9XT«.', '7KQ2M9XT'],
    ['„7KQ2-M9XT“', '7KQ2M9XT'],
    ['´7KQ2-M9XT´', '7KQ2M9XT'],
    ['「7KQ2-M9XT」。', '7KQ2M9XT'],
    ['¡7KQ2-M9XT!', '7KQ2M9XT'],
    ['(7KQ2-M9XT)', '7KQ2M9XT'],
    ['“ 7KQ2-M9XT ” …', '7KQ2M9XT'],
    ['7KQ2-M9XT.', '7KQ2M9XT'],
    ['7KQ2-M9XT؟', '7KQ2M9XT'],
    ['*7KQ2-M9XT*', '7KQ2M9XT'],
    [`"${'A'.repeat(32)}"`, 'A'.repeat(32)],
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
    'АВС', // Cyrillic
    'ABCı', // dotless i
    'ABC_DEF',
    'ABC.DEF',
    '(ABC) DEF',
    'ABC (DEF)',
    'ABC’S',
    '#ABC',
    '@ABC',
    'ABC/',
    '\\ABC',
    '+ABC',
    '👉ABC',
    '\u0001ABC',
    '“”',
    '“AB”',
    '...',
    '\u200b\u200b\u200b',
    '😀😀😀',
    "' or 1=1 --",
    '{"code":"ABC"}',
    'https://example.org/ABC',
    'ABC\u0301', // combining accent
    'ABC\u200d\u0301',
  ])('finds no code in %j', async (code) => {
    expect(await normal(code)).toBeNull()
  })

  test('drops format characters wherever they stand, and no other character', async () => {
    const format = charactersLike(/\p{Default_Ignorable_Code_Point}|[\ufff9-\ufffb]/u)
    expect(format.length).toBeGreaterThan(4000)
    expect(await without(format, (c) => `${c}A${c}B${c}${c}C${c}`)).toEqual([])
    const others = charactersLike(/[^\p{Default_Ignorable_Code_Point}\p{L}\p{N}\p{Z}\p{Pd}\p{C}]/u)
    expect(await without(others, (c) => `AB${c}C`)).toEqual(others)
  })

  test('drops the quotes, brackets and ends of sentences of every script around a code', async () => {
    const around = charactersLike(
      /\p{Quotation_Mark}|\p{Ps}|\p{Pe}|\p{Pi}|\p{Pf}|\p{Sentence_Terminal}|\p{Terminal_Punctuation}/u,
    )
    expect(around.length).toBeGreaterThan(400)
    expect(await without(around, (c) => `${c}ABC${c}`)).toEqual([])
    expect(await without(around, (c) => `${c} ABC ${c}${c}`)).toEqual([])
    expect(await without(around, (c) => `ABC${c}DEF`, 'ABCDEF')).toEqual(around)
  })

  test('keeps letters, digits and signs around a code, which make it another text or none', async () => {
    const others = charactersLike(/[\p{L}\p{N}\p{M}\p{Sm}\p{Sc}\p{So}\p{Cc}#%&/@\\]/u).filter(
      (c) =>
        !/[<>~\u02b9-\u02bd\u02ee\u275b-\u2760\p{Default_Ignorable_Code_Point}\p{White_Space}]/u.test(
          c.normalize('NFKC'),
        ),
    )
    expect(others.length).toBeGreaterThan(100_000)
    expect(await without(others, (c) => `${c}ABC`)).toEqual(others)
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

  test('leaves a text as it is stored alone: its key is that of its letters and digits', async () => {
    await fc.assert(
      fc.asyncProperty(fc.stringMatching(/^[0-9A-Z]{2,8}(-[0-9A-Z]{1,6}){1,3}$/), async (text) => {
        const key = text.replaceAll('-', '').replaceAll('O', '0').replace(/[IL]/g, '1')
        expect(await normal(text)).toBe(key)
        const [row] = await sql`select referral_private.show_code(${text}) as shown`
        expect(row?.shown).toBe(text)
      }),
      { numRuns: 200 },
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
