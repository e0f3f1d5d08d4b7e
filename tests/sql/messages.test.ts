/** What an error says of the mistake that people make: which argument, what it must be, who can do it. */
import { describe, expect, test } from 'vitest'
import { details, operator, person, refusal } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { type Scene, scene } from '../support/scene.ts'

const sql = await testDatabase()

describe('a setting that only the operator sets', () => {
  test.for([
    { link_origin: 'https://go.example.org' },
    { link_origin: null },
    { stripe_account_id: 'acct_1' },
    { stripe_account_id: null, name: 'New' },
  ])('is not_allowed to an admin: %o', (changes) =>
    undone(sql, async (tx) => {
      const { org, admin } = await scene(tx)
      const call = () => admin.rpc('update_organisation', { org_id: org, changes })
      expect(await refusal(call())).toBe('not_allowed')
      expect(await details(call())).toBe(
        'stripe_account_id, link_origin, batch_rows_per_day are set by the operator, with the secret key',
      )
    }),
  )

  test('is not told to those who are no admins', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, friend } = await scene(tx)
      const args = { org_id: org, changes: { link_origin: null } }
      expect(await details(coordinator.rpc('update_organisation', args))).toBeNull()
      expect(await refusal(friend.rpc('update_organisation', args))).toBe('not_a_member')
    }))

  test('is known, beside those that are not', () =>
    undone(sql, async (tx) => {
      const { org, admin } = await scene(tx)
      const change = (changes: unknown) =>
        details(admin.rpc('update_organisation', { org_id: org, changes }))
      expect(await change({ slug: 'x', colour: 'red' })).toMatch(
        /^changes: unknown slug, colour; known are name, active, .*, stripe_account_id, link_origin, batch_rows_per_day$/,
      )
      expect(await change([])).toMatch(/^changes: an object with some of name, /)
      expect(await change({ code_length: 'ten' })).toMatch(/^changes: .*"ten"/)
      expect((await change({ ['x'.repeat(100_000)]: 1 })).length).toBeLessThan(1000)
    }))
})

test('a link host that is taken is link_origin_taken, and can be moved', () =>
  undone(sql, async (tx) => {
    const [here, there] = [await scene(tx), await scene(tx)]
    const set = (org_id: string, link_origin: string | null) =>
      operator(tx).rpc('update_organisation', { org_id, changes: { link_origin } })
    await set(here.org, 'https://go.example.org')
    expect(await refusal(set(there.org, 'https://go.example.org'))).toBe('link_origin_taken')
    expect(await details(set(there.org, 'https://go.example.org'))).toBe(
      'link_origin: a host that no other organisation has; to move a host, set it to null there first',
    )
    await set(here.org, null)
    expect(await set(there.org, 'https://go.example.org')).toMatchObject([{ id: there.org }])
  }))

test('other taken names name no constraint', () =>
  undone(sql, async (tx) => {
    const { org, mentor, admin } = await scene(tx)
    await mentor.rpc('create_code', { org_id: org })
    expect(await details(mentor.rpc('create_code', { org_id: org }))).toBeNull()
    const program = { org_id: org, key: 'friends', name: 'Friends' }
    expect(await details(admin.rpc('create_program', program))).toBeNull()
    expect(await details(admin.rpc('create_program', { ...program, key: null }))).toBe(
      'key: required',
    )
  }))

describe('a code in a program that is not open', () => {
  const expected =
    'org_id or program_id: no program of these has enrolment "open"; or staff call add_member'

  test('is not_invited for a stranger, and says which term it is', () =>
    undone(sql, async (tx) => {
      const { org, friend } = await scene(tx, { enrolment: 'invited' })
      expect(await details(friend.rpc('get_or_create_code', { org_id: org }))).toBe(expected)
    }))

  test('and for a member who enrolled elsewhere', () =>
    undone(sql, async (tx) => {
      const { org, admin, friend } = await scene(tx)
      await friend.rpc('get_or_create_code', { org_id: org })
      const invited = { org_id: org, key: 'invited', name: 'Invited' }
      const [program] = await admin.rpc('create_program', invited)
      await friend.rpc('deactivate_code', { org_id: org })
      const call = friend.rpc('create_code', { org_id: org, program_id: program?.id })
      expect(await details(call)).toBe(expected)
    }))
})

describe('an organisation without a program', () => {
  test('is program_not_found to its people, and says who makes one', () =>
    undone(sql, async (tx) => {
      const admin = person(tx)
      const [org] = await operator(tx).rpc('create_organisation', {
        name: 'New',
        slug: 'new',
        admin_id: admin.id,
      })
      for (const rpc of ['get_or_create_code', 'create_code', 'create_campaign_code'])
        expect(await details(admin.rpc(rpc, { org_id: org?.id }))).toBe(
          'none: an admin calls create_program first',
        )
      const stranger = person(tx).rpc('get_or_create_code', { org_id: org?.id })
      expect(await refusal(stranger)).toBe('not_invited')
    }))
})

describe('a record without', () => {
  const now = new Date().toISOString()
  const payment = ({ org, friend }: Scene) => ({
    ...{ org_id: org, provider: 'store', payment_ref: '1', referee_id: friend.id },
    ...{ amount: 100, currency: 'usd', paid_at: now },
  })
  const refund = ({ org }: Scene) => ({
    ...{ org_id: org, provider: 'store', refund_ref: '1', payment_ref: '1', amount: 100 },
  })
  const reversal = ({ org }: Scene) => ({ org_id: org, provider: 'store', refund_ref: '1' })
  const records = {
    record_payment: payment,
    record_refund: refund,
    record_refund_reversed: reversal,
  }
  const required = { org_id: 'org_id: required', provider: 'provider: required' }

  test.for([
    ...Object.entries({
      ...required,
      payment_ref: 'payment_ref: required',
      referee_id: 'referee_id: required',
      amount: 'amount: 1 to 9,007,199,254,740,991, in minor units',
      currency: 'currency: three lower-case letters, such as usd',
      paid_at: 'paid_at: required, the time at which it was paid',
    }).map(([name, expected]) => ['record_payment', name, expected] as const),
    ...Object.entries({
      ...required,
      refund_ref: 'refund_ref: required',
      payment_ref: 'payment_ref: required',
      amount: 'amount: 1 to 9,007,199,254,740,991, in minor units',
    }).map(([name, expected]) => ['record_refund', name, expected] as const),
    ...Object.entries({ ...required, refund_ref: 'refund_ref: required' }).map(
      ([name, expected]) => ['record_refund_reversed', name, expected] as const,
    ),
  ])('%s: %s', ([rpc, name, expected]) =>
    undone(sql, async (tx) => {
      const args = records[rpc](await scene(tx))
      const call = () => operator(tx).rpc(rpc, { ...args, [name]: null })
      expect(await refusal(call())).toBe('invalid_argument')
      expect(await details(call())).toBe(expected)
    }),
  )

  test.for([
    [{ paid_at: undefined }, /^paid_at: required/],
    [{ currency: 'USD' }, /^currency: three lower-case letters/],
    [{ amount: 0 }, /^amount: 1 to/],
    [{ tax: 101 }, /^tax: 0 to amount$/],
    [{ options: { live: true } }, /^options: an object such as/],
  ] as const)('record_payment with %o', ([wrong, expected]) =>
    undone(sql, async (tx) => {
      const given = Object.entries({ ...payment(await scene(tx)), ...wrong })
      const args = Object.fromEntries(given.filter(([, value]) => value !== undefined))
      expect(await details(operator(tx).rpc('record_payment', args))).toMatch(expected)
    }),
  )
})

describe('terms of a wrong form show the right one', () => {
  const rewards =
    '{"kind": "percent", "bps": 2000} for 20 percent, or {"kind": "flat", "amount": {"usd": 500}}'
  test.for([
    [{ commission: { percent: 20 } }, `commission: ${rewards}`],
    [{ commission: 20 }, `commission: ${rewards}`],
    [{ referee_reward: { kind: 'percent', bps: 0.2 } }, `referee_reward: ${rewards}`],
    [{ recurrence: 'monthly' }, 'recurrence: "once", "forever" or {"months": 12}, up to 1,200'],
    [{ hold_days: '14' }, 'hold_days: 0 to 365'],
    [{ conversion_window_days: 0 }, 'conversion_window_days: 1 to 3,650'],
    [{ new_users_only_days: -1 }, 'new_users_only_days: 0 to 3,650'],
    [{ max_commissions_per_referrer: 0 }, 'max_commissions_per_referrer: 1 to 1,000,000,000'],
    [{ guests_per_day: 0 }, 'guests_per_day: 1 to 1,000,000'],
    [{ minimum_sale: 500 }, 'minimum_sale: minor units by currency, such as {"usd": 500}'],
    [{ enrolment: 'closed' }, 'enrolment: "open" or "invited"'],
    [{ customers: 'all' }, 'customers: "new" or "any"'],
    [{ guests: 'yes' }, 'guests: true or false'],
    [{ comission: 1 }, 'comission: no such key, see docs/terms.md'],
    [{ tiers: [], hold_days: -1 }, /^tiers: \[\{"from": 1, .*; hold_days: 0 to 365$/],
  ] as const)('%o', ([terms, expected]) =>
    undone(sql, async (tx) => {
      const { org, program, admin } = await scene(tx)
      const create = admin.rpc('create_program', { org_id: org, key: 'x', name: 'X', terms })
      const found = await details(create)
      typeof expected === 'string' ? expect(found).toBe(expected) : expect(found).toMatch(expected)
      const changes = { terms }
      const update = admin.rpc('update_program', { program_id: program, changes })
      expect(await details(update)).toBe(found)
    }),
  )

  test('there is a form for every key', async () => {
    const [row] = await sql`
      select array_agg(key) filter (where referral_private.form_of_term(key) is null) as without,
        count(*)::int as keys
      from unnest(regexp_split_to_array(
        (select prosrc from pg_proc where proname = 'is_term'), '[^a-z_]+'
      )) as key
      where referral_private.is_term(key, 'null') is not null`
    expect(row).toMatchObject({ without: null })
    expect(row?.keys).toBeGreaterThanOrEqual(14)
  })
})

test('the operator, who is no person, is told that a person is needed', () =>
  undone(sql, async (tx) => {
    const { org } = await scene(tx)
    const sentence =
      'required with the secret key, which is no person; an app uses the publishable key and signs in'
    for (const [rpc, name] of [
      ['create_code', 'referrer_id'],
      ['rotate_code', 'referrer_id'],
      ['deactivate_code', 'referrer_id'],
      ['get_active_code', 'referrer_id'],
      ['my_earnings', 'earner_id'],
      ['my_statement', 'earner_id'],
    ] as const)
      expect(await details(operator(tx).rpc(rpc, { org_id: org }))).toBe(`${name}: ${sentence}`)
  }))

test('every refused argument is named, and says what it must be', async () => {
  const rows = await sql`
    select proname, match[1] as told
    from pg_proc, regexp_matches(prosrc, 'raise_error\\(\\s*''invalid_argument'',\\s*''([^'']*)', 'g') as match
    where pronamespace = 'referral_private'::regnamespace`
  expect(rows.length).toBeGreaterThan(40)
  expect(rows.filter(({ told }) => !/^[a-z_]+(, [a-z_]+)*: /.test(told))).toEqual([])
})
