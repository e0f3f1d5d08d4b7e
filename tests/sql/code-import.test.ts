/** Campaign codes from rows: all or none, each fault with its row and column, dates in the organisation's time zone. */
import { describe, expect, test } from 'vitest'
import { type Actor, details, operator, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

const take = (staff: Actor, org: string, rows: unknown, args: object = {}) =>
  staff.rpc('import_codes', { org_id: org, rows, ...args })

type Fault = { row: number; column: string | null; code: string; details: string | null }
/** What an import refuses, of each row; it stores nothing then. */
async function faultsOf(call: ReturnType<typeof take>): Promise<Fault[]> {
  const [refused] = await call
  expect(refused).toMatchObject({ batch_id: null, made: 0 })
  const rows = refused?.rows as { row: number; faults: Omit<Fault, 'row'>[] }[]
  return rows.flatMap(({ row, faults }) => faults.map((fault) => ({ row, ...fault })))
}
/** The Stripe accounts that the session shares, as an import of staff does. */
const sharedAccounts = (tx: Sql) =>
  tx`select from pg_locks where pid = pg_backend_pid() and locktype = 'advisory' and mode = 'ShareLock'`
const plainly = (faults: Fault[]) => faults.map(({ row, column, code }) => [row, column, code])

describe('import_codes', () => {
  test('takes all rows, with everything they say', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, friend } = await scene(tx)
      const rows = [
        { code: 'one-one' },
        {
          code: 'TWO',
          max_uses: 2,
          expires_at: '2099-01-01T12:00:00Z',
          description: 'second',
          beneficiary_id: friend.id,
        },
        { code: 333, max_uses: null, expires_at: null, description: null, beneficiary_id: null },
      ]
      expect(await take(coordinator, org, rows)).toMatchObject([{ made: 3, rows: null }])
      expect(await coordinator.rpc('find_code', { code: 'two' })).toMatchObject([
        {
          description: 'second',
          referrer_id: null,
          beneficiary_id: friend.id,
          expires_at: new Date('2099-01-01T12:00:00Z'),
        },
      ])
      expect(await coordinator.rpc('find_code', { code: '333' })).toHaveLength(1)
    }))

  test('names every fault with its row and column, and takes none', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      const rows = [
        { code: 'GOOD' },
        { code: '🎉', max_uses: 0 },
        { code },
        { code: 'g-o-o-d' },
        { code: 'cock-5', expires_at: '1/2/2099', max_uses: 'many', colour: 'red' },
        { code: 'LATE', expires_at: '2001-01-01' },
        { 'Expiry Date': '2099-01-01' },
        'text',
        null,
        [],
        { code: 'FRACTION', max_uses: 1.5 },
        { code: 'OBJECT', description: { a: 1 } },
        { code: ['ABC'] },
        { code: { a: 'ABC' } },
        { code: 'LONG', description: 'x'.repeat(501) },
        { code: 'MANY', max_uses: 100_001 },
        { code: 'WHOSE', beneficiary_id: 'olivia@example.org' },
        { code: 'TRUTH', expires_at: true },
      ]
      const faults = await faultsOf(take(coordinator, org, rows))
      expect(plainly(faults)).toEqual([
        [2, 'code', 'invalid_code'],
        [2, 'max_uses', 'invalid_argument'],
        [4, 'code', 'code_taken'],
        [5, 'code', 'code_reserved'],
        [5, 'colour', 'invalid_argument'],
        [5, 'expires_at', 'invalid_argument'],
        [5, 'max_uses', 'invalid_argument'],
        [6, 'expires_at', 'invalid_argument'],
        [7, 'Expiry Date', 'invalid_argument'],
        [7, 'code', 'invalid_code'],
        [8, null, 'invalid_argument'],
        [9, null, 'invalid_argument'],
        [10, null, 'invalid_argument'],
        [11, 'max_uses', 'invalid_argument'],
        [12, 'description', 'invalid_argument'],
        [13, 'code', 'invalid_code'],
        [14, 'code', 'invalid_code'],
        [15, 'description', 'invalid_argument'],
        [16, 'max_uses', 'invalid_argument'],
        [17, 'beneficiary_id', 'invalid_argument'],
        [18, 'expires_at', 'invalid_argument'],
      ])
      expect(faults.filter(({ row }) => [4, 5, 6].includes(row)).map((f) => f.details)).toEqual([
        'the same as row 1',
        'COCK',
        'unknown column',
        'ISO 8601, such as 2030-12-31',
        'a whole number from 1 to 100000',
        'in the past',
      ])
      expect(await coordinator.rpc('find_code', { code: 'GOOD' })).toEqual([])
    }))

  test('says that a text is taken only where nothing else is wrong', () =>
    undone(sql, async (tx) => {
      const [here, there] = [await scene(tx), await scene(tx)]
      const { code } = await codeOf(there.mentor, there.org)
      const rows = [{ code }, { code: 'FREE' }]
      const asking = faultsOf(take(here.coordinator, here.org, [...rows, { code: '' }]))
      expect(plainly(await asking)).toEqual([[3, 'code', 'invalid_code']])
      const taking = faultsOf(take(here.coordinator, here.org, rows))
      expect(plainly(await taking)).toEqual([[1, 'code', 'code_taken']])
    }))

  test('takes 3,000 rows in one call, and names of 3,000 wrong rows the first 1,000', () =>
    undone(sql, async (tx) => {
      const { org, coordinator } = await scene(tx)
      const rows = Array.from({ length: 3000 }, (_, n) => ({ code: `BULK-${100_000 + n}` }))
      const wrong = rows.map((row) => ({ ...row, max_uses: 'x', colour: 'red' }))
      const faults = await faultsOf(take(coordinator, org, wrong))
      expect([faults.length, faults.at(-1)?.row]).toEqual([2000, 1000])
      expect(await sharedAccounts(tx)).toEqual([])
      expect(await take(coordinator, org, rows)).toMatchObject([{ made: 3000 }])
      expect(await sharedAccounts(tx)).toHaveLength(1)
    }))

  test.for([
    ['none', null],
    ['an empty list', []],
    ['an object', {}],
    ['a text', '"rows"'],
    ['50,001', Array(50_001).fill({})],
    ['more than 32 MiB', Array(40).fill({ description: 'x'.repeat(1_000_000) })],
  ] as const)('refuses rows that are %s, before it takes a lock', ([, rows]) =>
    undone(sql, async (tx) => {
      const { org, coordinator } = await scene(tx)
      expect(await refusal(take(coordinator, org, rows))).toBe('invalid_argument')
      expect(await sharedAccounts(tx)).toEqual([])
    }),
  )
})

describe('an expiry', () => {
  const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', 'Pacific/Kiritimati']
  const ends = [
    [
      '2099-01-31',
      [
        '2099-02-01T00:00Z',
        '2099-01-31T23:00Z',
        '2099-02-01T05:00Z',
        '2099-01-31T18:15Z',
        '2099-01-31T10:00Z',
      ],
    ],
    [
      '2096-02-29',
      [
        '2096-03-01T00:00Z',
        '2096-02-29T23:00Z',
        '2096-03-01T05:00Z',
        '2096-02-29T18:15Z',
        '2096-02-29T10:00Z',
      ],
    ],
    [
      '2030-07-01',
      [
        '2030-07-02T00:00Z',
        '2030-07-01T22:00Z',
        '2030-07-02T04:00Z',
        '2030-07-01T18:15Z',
        '2030-07-01T10:00Z',
      ],
    ],
    [
      '2099-12-31',
      [
        '2100-01-01T00:00Z',
        '2099-12-31T23:00Z',
        '2100-01-01T05:00Z',
        '2099-12-31T18:15Z',
        '2099-12-31T10:00Z',
      ],
    ],
    [
      '2099-01-31T18:00',
      [
        '2099-01-31T18:00Z',
        '2099-01-31T17:00Z',
        '2099-01-31T23:00Z',
        '2099-01-31T12:15Z',
        '2099-01-31T04:00Z',
      ],
    ],
    [
      '2099-01-31 18:00:30.5',
      [
        '2099-01-31T18:00:30.5Z',
        '2099-01-31T17:00:30.5Z',
        '2099-01-31T23:00:30.5Z',
        '2099-01-31T12:15:30.5Z',
        '2099-01-31T04:00:30.5Z',
      ],
    ],
    ...[
      '2099-01-31T18:00Z',
      '2099-01-31t18:00:00z',
      '2099-01-31T19:00+01',
      '2099-01-31T14:30-0330',
      '2099-01-31 18:00:00+00:00',
    ].map((text) => [text, Array(5).fill('2099-01-31T18:00Z')] as const),
  ] as const

  test.for(zones.map((zone, place) => [zone, place] as const))(
    'of %s ends a date there',
    ([zone, place]) =>
      undone(sql, async (tx) => {
        const { org, admin } = await scene(tx)
        await admin.rpc('update_organisation', { org_id: org, changes: { time_zone: zone } })
        const rows = ends.map(([text], n) => ({ code: `END-${n}A`, expires_at: text }))
        await take(admin, org, rows)
        for (const [n, [text, times]] of ends.entries()) {
          const [code] = await admin.rpc('find_code', { code: `END-${n}A` })
          expect(code?.expires_at, text).toEqual(new Date(times[place] ?? ''))
          const changes = { expires_at: text }
          const [changed] = await admin.rpc('update_code', { code_id: code?.id, changes })
          expect(changed?.expires_at, text).toEqual(new Date(times[place] ?? ''))
        }
      }),
  )

  test.for([
    ...[
      '01/02/2099',
      '1.2.2099',
      '31-12-2099',
      '2099/12/31',
      '20991231',
      '2099-1-2',
      '99-12-31',
      '2099-12',
      '2099',
    ],
    ...[
      '2099-02-29',
      '2099-02-30',
      '2099-13-01',
      '2099-00-10',
      '2099-12-31T25:00',
      '2099-12-31T12:60',
      '2099-12-31T12',
    ],
    ...[
      '2099-W53-1',
      '2099-365',
      'soon',
      'tomorrow',
      'infinity',
      'now',
      'epoch',
      'Dec 31, 2099',
      '31 December 2099',
    ],
    ...[
      '2099-12-31 CET',
      '2099-12-31T12:00 Europe/Berlin',
      '2099-12-31T12:00+99:99',
      '2099-12-31T12:00+25',
      ' 2099-12-31',
    ],
    ...[
      '2099-12-31 BC',
      '12099-12-31',
      '-2099-12-31',
      '46022',
      '',
      '２０９９-12-31',
      '2099-12-31T',
      '2099-12-31Z',
      '4089-12-31X',
    ],
  ])('is no date in ISO 8601: %j', (text) =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const faults = await faultsOf(take(coordinator, org, [{ code: 'ABC', expires_at: text }]))
      expect(plainly(faults)).toEqual([[1, 'expires_at', 'invalid_argument']])
      const changes = { code_id: (await codeOf(mentor, org)).id, changes: { expires_at: text } }
      expect(await refusal(coordinator.rpc('update_code', changes))).toBe('invalid_argument')
    }),
  )

  test('of today has not passed, and of yesterday has', () =>
    undone(sql, async (tx) => {
      const { org, admin } = await scene(tx)
      const zone = 'Pacific/Auckland'
      await admin.rpc('update_organisation', { org_id: org, changes: { time_zone: zone } })
      const [days] = await tx`
        select (now() at time zone ${zone})::date::text as today, ((now() at time zone ${zone})::date - 1)::text as past`
      expect(await take(admin, org, [{ code: 'TODAY', expires_at: days?.today }])).toHaveLength(1)
      const late = take(admin, org, [{ code: 'PAST', expires_at: days?.past }])
      expect(await faultsOf(late)).toMatchObject([{ column: 'expires_at', details: 'in the past' }])
    }))
})

describe('time_zone', () => {
  test.for([
    'Europe/Berlin',
    'America/Argentina/Buenos_Aires',
    'UTC',
    'Etc/GMT+12',
    'Asia/Kolkata',
    'CET',
  ])('of an organisation can be %s', (time_zone) =>
    undone(sql, async (tx) => {
      const { org, admin } = await scene(tx)
      expect(
        await admin.rpc('update_organisation', { org_id: org, changes: { time_zone } }),
      ).toMatchObject([{ time_zone }])
    }),
  )

  test.for([
    ...[
      'Berlin',
      'europe/berlin',
      'Europe/Atlantis',
      '+02:00',
      'UTC+2',
      'CEST',
      'GMT+25',
      '',
      ' UTC',
      null,
      5,
      {},
    ],
    ...['AAA0BBB,1/0,2/0', "UTC'; drop table x; --", 'x'.repeat(10_000)],
  ])('of an organisation cannot be %j', (time_zone) =>
    undone(sql, async (tx) => {
      const { org, admin } = await scene(tx)
      const call = admin.rpc('update_organisation', { org_id: org, changes: { time_zone } })
      expect(await details(call)).toBe('time_zone: a name such as Europe/Berlin')
    }),
  )

  test('is UTC unless set', () =>
    undone(sql, async (tx) => {
      const { org, admin } = await scene(tx)
      expect(await admin.rpc('update_organisation', { org_id: org, changes: {} })).toMatchObject([
        { time_zone: 'UTC' },
      ])
    }))
})

describe('a dry run', () => {
  const dry = { dry_run: true }

  test('says what each row would do, and stores nothing', () =>
    undone(sql, async (tx) => {
      const { org, admin, friend } = await scene(tx)
      await admin.rpc('update_organisation', {
        org_id: org,
        changes: { time_zone: 'Europe/Berlin' },
      })
      const rows = [
        { code: '“olivia  5”', max_uses: 2, expires_at: '2099-06-30', beneficiary_id: friend.id },
        { code: 'fair', description: 'poster' },
      ]
      expect(await take(admin, org, rows, dry)).toEqual([
        {
          batch_id: null,
          made: 2,
          rows: [
            {
              row: 1,
              code: 'OLIVIA-5',
              max_uses: 2,
              expires_at: '2099-06-30T22:00:00+00:00',
              description: null,
              beneficiary_id: friend.id,
              looks_like_another: false,
              faults: [],
            },
            {
              row: 2,
              code: 'FAIR',
              max_uses: null,
              expires_at: null,
              description: 'poster',
              beneficiary_id: null,
              looks_like_another: false,
              faults: [],
            },
          ],
        },
      ])
      expect(await tx`select from referral.codes where org_id = ${org}`).toEqual([])
      expect(await tx`select from referral.code_quotas where org_id = ${org}`).toEqual([])
      expect(await sharedAccounts(tx)).toEqual([])
    }))

  test('says what is wrong with a row, beside what the others would do', () =>
    undone(sql, async (tx) => {
      const { org, coordinator } = await scene(tx)
      const rows = [{ code: 'GOOD' }, { code: 'grape' }, { code: 'rape', max_uses: -1 }, 5]
      expect(await take(coordinator, org, rows, dry)).toMatchObject([
        {
          made: 0,
          rows: [
            { row: 1, code: 'GOOD', faults: [] },
            { row: 2, code: 'GRAPE', faults: [] },
            {
              row: 3,
              code: 'rape',
              faults: [
                { column: 'code', code: 'code_reserved', details: 'RAPE' },
                { column: 'max_uses', code: 'invalid_argument' },
              ],
            },
            { row: 4, code: null, faults: [{ column: null, code: 'invalid_argument' }] },
          ],
        },
      ])
    }))

  test('finds what the import would refuse, for staff and for the operator', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      for (const caller of [coordinator, operator(tx)]) {
        expect(await take(caller, org, [{ code }], dry)).toMatchObject([
          { made: 0, rows: [{ faults: [{ column: 'code', code: 'code_taken' }] }] },
        ])
        const rows = [{ code: `FREE-${caller.id.slice(0, 4)}` }]
        expect(await take(caller, org, rows, dry)).toMatchObject([{ made: 1 }])
        expect(await take(caller, org, rows)).toMatchObject([{ made: 1, rows: null }])
      }
    }))

  test('is for staff, and of a program that is switched on', () =>
    undone(sql, async (tx) => {
      const { org, admin, mentor, program } = await scene(tx)
      expect(await refusal(take(mentor, org, [{ code: 'ABC' }], dry))).toBe('not_allowed')
      await admin.rpc('update_program', { program_id: program, changes: { active: false } })
      expect(await refusal(take(admin, org, [{ code: 'ABC' }], dry))).toBe('program_inactive')
    }))
})
