/** What the bytes of a CSV file are read as, and what is said of those that cannot be. */
import { describe, expect, test } from 'vitest'
import { readCsv } from '../../cli/codes/csv.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const read = (text: string) => readCsv(bytes(text)).map(({ line, value }) => [line, value])
const utf16 = (text: string, bigEndian = false) => {
  const buffer = Buffer.from(text, 'utf16le')
  return new Uint8Array(bigEndian ? buffer.swap16() : buffer)
}

describe('readCsv', () => {
  test('reads every column, in any order, case and spacing of the names', () => {
    const id = crypto.randomUUID()
    const header = 'Description, CODE ,Max Uses,beneficiary,expires-at'
    expect(read(`${header}\n"one, ""two""",A-1,5,${id},2030-12-31\n,B-2,,,\n`)).toEqual([
      [
        2,
        {
          code: 'A-1',
          maxUses: 5,
          expiresAt: '2030-12-31',
          description: 'one, "two"',
          beneficiaryId: id,
        },
      ],
      [3, { code: 'B-2' }],
    ])
  })

  test.for([
    ['blank lines', 'code\n\nA-1\n\n\nB-2\n\n'],
    ['lines of separators', 'code,max_uses\n,\nA-1,\n,,\n , \nB-2,\n'],
    ['Windows’ line ends', 'code\r\n\r\nA-1\r\n  \r\n\r\nB-2\r\n'],
    ['old line ends', 'code\r\rA-1\r\r\rB-2'],
    ['a byte order mark', '\ufeffcode\n\nA-1\n\n\nB-2'],
    ['quotes', '"code"\n\n"A-1"\n\n\n"B-2"'],
    ['columns at the end without a name and a value', 'code,,\n\nA-1,,\n\n\nB-2,,\n'],
  ])('skips rows without a value, and keeps the lines: %s', ([, text = '']) => {
    const rows = readCsv(bytes(text))
    expect(rows.map(({ value }) => value.code)).toEqual(['A-1', 'B-2'])
    expect(rows.map(({ line }) => line)).toEqual([3, 6])
  })

  test('knows the line of a row after cells of several lines', () => {
    const text = 'code,description\nA-1,"one\ntwo\n\nfour"\n\nB-2,x\n'
    expect(readCsv(bytes(text)).map(({ line }) => line)).toEqual([2, 7])
  })

  test('passes on what is no number, for the database to refuse', () => {
    expect(read('code,max_uses\nA-1,many\nB-2,1.5\nC-3,"1,000"')).toMatchObject([
      [2, { maxUses: 'many' }],
      [3, { maxUses: '1.5' }],
      [4, { maxUses: '1,000' }],
    ])
  })

  test('takes 50,000 rows and no more', () => {
    const rows = (count: number) => bytes(`code\n${'ABC\n'.repeat(count)}`)
    expect(readCsv(rows(50_000))).toHaveLength(50_000)
    expect(() => readCsv(rows(50_001))).toThrow('50001 codes, and one import takes 50000')
  })

  test.for([
    [
      'an unknown column',
      'code,Expiry Date\nA-1,2030-01-01',
      /Unknown columns: “Expiry Date”. The columns are code, max_uses/,
    ],
    ['several', 'code,colour,Expires,max_uses\n', /“colour”, “Expires”/],
    ['the columns of an export', 'code,status,uses_count\n', /“status”, “uses_count”/],
    ['a column without a name', 'code,\nA-1,5', /one without a name/],
    ['a column twice', 'code,max_uses,Max_Uses\n', /“max_uses” is there twice/],
    ['semicolons', 'code;max_uses\nA-1;5', /separated by “;”. Separate them by commas/],
    ['semicolons and quotes', '"code";"max_uses"\n"A-1";"5"', /separated by “;”/],
    ['tabs', 'code\tmax_uses\nA-1\t5', /separated by tabs/],
    ['bars', 'max_uses | code\n5 | A-1', /separated by “\|”/],
    ['Excel’s line', 'sep=;\ncode;max_uses\n', /“sep=”/],
    ['no header', 'A-1,5\nB-2,6', /no column “code”, but “A-1,5”. It is the header/],
    ['another header', 'coupon,limit\nA-1,5', /no column “code”, but “coupon,limit”/],
    ['nothing', '', /is empty/],
    ['blank lines only', '\n \n\r\n', /is empty/],
    ['a header only', 'code,max_uses\n\n,\n', /no codes/],
    [
      'rows with other separators',
      'code,max_uses\nA-1,5\nB-2;6',
      /names 2 columns, but line 3 has 1/,
    ],
    [
      'a comma too many',
      'code,description\nA-1,one, two\nB-2,x',
      /names 2 columns, but line 2 has 3/,
    ],
    ['a cell too few', 'code,max_uses\nA-1\n', /line 2 has 1/],
    ['a quote that is not closed', 'code\n"A-1\nB-2', /cannot be read as CSV: Quote/],
  ] as const)('says what is wrong: %s', ([, text, expected]) => {
    expect(() => readCsv(bytes(text))).toThrow(expected)
  })

  test.for([
    ['of small machines, marked', new Uint8Array([0xff, 0xfe, ...utf16('code\nA-1')])],
    ['of big machines, marked', new Uint8Array([0xfe, 0xff, ...utf16('code\nA-1', true)])],
    ['of small machines', utf16('code\nA-1')],
    ['of big machines', utf16('code\nA-1', true)],
    [
      'with tabs, as Excel’s “Unicode text”',
      new Uint8Array([0xff, 0xfe, ...utf16('code\tmax_uses\r\nA-1\t5')]),
    ],
  ] as const)('says that the file is UTF-16: %s', ([, file]) => {
    expect(() => readCsv(file)).toThrow('The file is in UTF-16. Save it as “CSV UTF-8”')
  })

  test.for([
    ['Latin-1', [...bytes('code,description\nA-1,x\nB-2,Gr'), 0xfc, ...bytes('n\nC-3,x')], 3],
    ['a character cut in two', [...bytes('code\nA-1'), 0xe2, 0x82], 2],
    [
      'its own replacement character before',
      [...bytes('code,description\nA-1,\ufffd\nB-2,'), 0xff],
      3,
    ],
    ['a bad first line', [0xff, ...bytes('code\nA-1')], 1],
  ] as const)('says which line is not UTF-8: %s', ([, file, line]) => {
    expect(() => readCsv(new Uint8Array(file))).toThrow(`Line ${line} is not UTF-8`)
  })
})
