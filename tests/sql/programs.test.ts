import { describe, expect, test } from 'vitest'
import { refusal } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { rewriteTerms } from '../support/histories.ts'
import { scene } from '../support/scene.ts'

const sql = await testDatabase()

const rising = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ from: n + 1, bps: 10 * n }))

describe('create_program', () => {
  test('makes the first program of an organisation its default', () =>
    undone(sql, async (tx) => {
      const { org, admin, program } = await scene(tx)
      const [second] = await admin.rpc('create_program', {
        org_id: org,
        key: 'second',
        name: 'Second',
      })
      expect(second?.is_default).toBe(false)
      const [first] = await tx`select is_default from referral.programs where id = ${program}`
      expect(first?.is_default).toBe(true)
    }))

  test('stores the terms with what was left out', () =>
    undone(sql, async (tx) => {
      const { org, admin, mentor } = await scene(tx, {
        commission: { kind: 'flat', amount: { usd: 500 } },
      })
      expect(await mentor.run('select version, terms from referral.program_terms')).toEqual([
        {
          version: 1,
          terms: {
            commission: { kind: 'flat', amount: { usd: 500 } },
            recurrence: 'once',
            hold_days: 14,
            conversion_window_days: 90,
            enrolment: 'invited',
            guests: true,
            customers: 'new',
          },
        },
      ])
      expect(
        await refusal(admin.rpc('create_program', { org_id: org, key: 'friends', name: 'X' })),
      ).toBe('program_exists')
    }))

  test('is for admins', () =>
    undone(sql, async (tx) => {
      const { org, coordinator } = await scene(tx)
      expect(
        await refusal(coordinator.rpc('create_program', { org_id: org, key: 'x', name: 'X' })),
      ).toBe('not_allowed')
    }))

  test.for([{ key: 'No Key' }, { key: '' }, { key: null }, { name: '' }, { name: null }])(
    'refuses %o with invalid_argument',
    (wrong) =>
      undone(sql, async (tx) => {
        const { org, admin } = await scene(tx)
        const call = admin.rpc('create_program', { org_id: org, key: 'x', name: 'X', ...wrong })
        expect(await refusal(call)).toBe('invalid_argument')
      }),
  )
})

describe('terms', () => {
  test('hold whole numbers without a fraction, also one that is zero', () =>
    undone(sql, async (tx) => {
      const { program, admin } = await scene(tx)
      const change = (days: string) =>
        admin.run(
          `select referral.update_program('${program}', '{"terms": {"conversion_window_days": ${days}}}')`,
        )
      expect(await refusal(change('90.0'))).toBe('invalid_terms')
      expect(await change('9e1')).toHaveLength(1)
    }))

  test.for([
    { commission: { kind: 'percent', bps: 10000 } },
    { recurrence: 'forever' },
    { recurrence: { months: 12 } },
    {
      tiers: [
        { from: 1, bps: 1000 },
        { from: 11, bps: 1500 },
      ],
    },
    { minimum_sale: { usd: 0, jpy: 5000 } },
    { referee_reward: { kind: 'flat', amount: { eur: 9007199254740991 } } },
    { max_commissions_per_referrer: 3, new_users_only_days: 0, hold_days: 0, guests: false },
    { customers: 'any', guests_per_day: 1, flat_above_sale: true },
    { customers: 'new', guests_per_day: 1_000_000, flat_above_sale: false },
    { tiers: rising(100) },
  ])('take %o', (terms) =>
    undone(sql, async (tx) => {
      const { org, admin } = await scene(tx)
      expect(
        await admin.rpc('create_program', { org_id: org, key: 'x', name: 'X', terms }),
      ).toHaveLength(1)
    }),
  )

  test.for([
    { comission: { kind: 'percent', bps: 1 } },
    { commission: { kind: 'percent', bps: 10001 } },
    { commission: { kind: 'percent', bps: '20' } },
    { commission: { kind: 'percent', bps: 1.5 } },
    { commission: { kind: 'percent' } },
    { commission: { kind: 'percent', bps: 1, amount: { usd: 1 } } },
    { commission: { kind: 'share', bps: 1 } },
    { commission: 20 },
    { commission: null },
    { commission: { kind: 'flat', amount: {} } },
    { commission: { kind: 'flat', amount: { USD: 1 } } },
    { commission: { kind: 'flat', amount: { usd: -1 } } },
    { commission: { kind: 'flat', amount: { usd: 9007199254740992 } } },
    { recurrence: 'twice' },
    { recurrence: { months: 0 } },
    { recurrence: { months: 1, days: 2 } },
    { tiers: [] },
    { tiers: [{ from: 2, bps: 1 }] },
    {
      tiers: [
        { from: 1, bps: 1 },
        { from: 1, bps: 2 },
      ],
    },
    { tiers: [{ from: 1, bps: 1 }, 5] },
    { tiers: [{ from: 1, bps: 1, cap: 1 }] },
    { hold_days: -1 },
    { conversion_window_days: 0 },
    { enrolment: 'closed' },
    { guests: 'yes' },
    { customers: 'old' },
    { customers: true },
    { guests_per_day: 0 },
    { guests_per_day: 1_000_001 },
    { guests_per_day: 1.5 },
    { flat_above_sale: 'yes' },
    { flat_above_sale: null },
    { tiers: rising(101) },
    { payout_minimum: { usd: 5000 } },
  ])('refuse %o with invalid_terms', (terms) =>
    undone(sql, async (tx) => {
      const { org, admin } = await scene(tx)
      expect(
        await refusal(admin.rpc('create_program', { org_id: org, key: 'x', name: 'X', terms })),
      ).toBe('invalid_terms')
    }),
  )
})

describe('update_program', () => {
  const terms = { enrolment: 'open', commission: { kind: 'percent', bps: 1000 }, hold_days: 7 }

  test('keeps the terms that it is not given, and gives a key that is null its default', () =>
    undone(sql, async (tx) => {
      const { program, admin } = await scene(tx, { ...terms, minimum_sale: { usd: 100 } })
      const changes = { terms: { enrolment: 'invited', hold_days: null, minimum_sale: null } }
      await admin.rpc('update_program', { program_id: program, changes })
      expect(
        await tx`select version, terms from referral.program_terms where valid_to is null`,
      ).toEqual([
        {
          version: 2,
          terms: {
            enrolment: 'invited',
            commission: { kind: 'percent', bps: 1000 },
            hold_days: 14,
            recurrence: 'once',
            conversion_window_days: 90,
            guests: true,
            customers: 'new',
          },
        },
      ])
    }))

  test('makes no version of terms that stay the same', () =>
    undone(sql, async (tx) => {
      const { program, admin } = await scene(tx, terms)
      for (const same of [{}, { hold_days: 7 }, { minimum_sale: null }])
        await admin.rpc('update_program', { program_id: program, changes: { terms: same } })
      expect(await tx`select version from referral.program_terms`).toEqual([{ version: 1 }])
    }))

  test.for([null, [], 'open', { enrolment: 'closed' }, { enrolement: null }])(
    'refuses terms that are %o',
    (wrong) =>
      undone(sql, async (tx) => {
        const { program, admin } = await scene(tx, terms)
        const changes = { terms: wrong }
        expect(await refusal(admin.rpc('update_program', { program_id: program, changes }))).toBe(
          'invalid_terms',
        )
      }),
  )

  test.for([
    `update referral.program_terms set terms = '{}'`,
    "update referral.program_terms set valid_from = '2020-01-01'",
    'update referral.program_terms set valid_to = clock_timestamp() where valid_to is not null',
    'update referral.program_terms set valid_to = null where valid_to is not null',
    'delete from referral.program_terms',
    'truncate referral.program_terms cascade',
  ])('leaves versions that nobody changes, the owner included: %s', (change) =>
    undone(sql, async (tx) => {
      const { program, admin } = await scene(tx, terms)
      await admin.rpc('update_program', {
        program_id: program,
        changes: { terms: { hold_days: 3 } },
      })
      expect(await refusal(tx.savepoint((point) => point.unsafe(change)))).toBe('23001')
    }),
  )

  test('makes 50 versions in 24 hours, and no more', () =>
    undone(sql, async (tx) => {
      const { program, admin } = await scene(tx, terms)
      const change = (hold_days: number) =>
        admin.rpc('update_program', { program_id: program, changes: { terms: { hold_days } } })
      for (let version = 2; version <= 50; version++) await change(100 + version)
      expect(await refusal(change(1))).toBe('rate_limited')
      await admin.rpc('update_program', { program_id: program, changes: { name: 'Other' } })
      const dayEarlier = (column: string) => `${column} = ${column} - interval '24 hours'`
      await rewriteTerms(
        tx,
        `set ${dayEarlier('valid_from')}, ${dayEarlier('valid_to')} where version = 1`,
      )
      await change(1)
      expect(await refusal(change(2))).toBe('rate_limited')
    }))
})
