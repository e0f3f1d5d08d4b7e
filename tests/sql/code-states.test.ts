/** The states of a code with their times, and whether a purchase could use it at a time. */
import { describe, expect, test } from 'vitest'
import { operator } from '../support/actors.ts'
import { restate, type State } from '../support/code-states.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

/** A mentor's code, and its states in their order. */
async function coded(tx: Sql) {
  const people = await scene(tx)
  const { id, code } = await codeOf(people.mentor, people.org)
  const states = (of = id) => tx`
    select status, expires_at, redeemable_until from referral_private.code_states
    where org_id = ${people.org} and code_id = ${of} order by state_id`
  return { ...people, id, code, states }
}

const state = (status: string, more: object = {}) => ({
  status,
  expires_at: null,
  redeemable_until: null,
  ...more,
})

describe('code_states', () => {
  test('begin with the code, at the time at which it was made', () =>
    undone(sql, async (tx) => {
      const { org, states, coordinator } = await coded(tx)
      expect(await states()).toEqual([state('active')])
      const expires_at = '2099-01-01T00:00:00Z'
      const rows = [{ code: 'ROW-ONE', expires_at }, { code: 'ROW-TWO' }]
      await coordinator.rpc('import_codes', { org_id: org, rows })
      await coordinator.rpc('generate_codes', { org_id: org, count: 100 })
      const [row] = await tx`
        select count(*)::int as codes, count(*) filter (where s.since = c.created_at)::int as began,
          count(*) filter (where (s.status, s.expires_at) is not distinct from (c.status, c.expires_at))::int as same
        from referral.codes as c left join referral_private.code_states as s on s.code_id = c.id
        where c.org_id = ${org}`
      expect(row).toEqual({ codes: 103, began: 103, same: 103 })
    }))

  test('have suspension, reactivation, each new expiry and the end', () =>
    undone(sql, async (tx) => {
      const { id, states, coordinator } = await coded(tx)
      const expires_at = new Date('2099-01-01')
      const update = (changes: object) => coordinator.rpc('update_code', { code_id: id, changes })
      await coordinator.rpc('suspend_code', { code_id: id })
      await coordinator.rpc('suspend_code', { code_id: id })
      await coordinator.rpc('reactivate_code', { code_id: id })
      await update({ expires_at })
      await update({ expires_at, description: 'the same expiry' })
      await update({ expires_at: null, max_uses: 5 })
      await coordinator.rpc('end_code', { code_id: id })
      expect(await states()).toEqual([
        state('active'),
        state('suspended'),
        state('active'),
        state('active', { expires_at }),
        state('active'),
        state('invalidated'),
      ])
    }))

  test('have a rotation, its grace, and the end of that grace', () =>
    undone(sql, async (tx) => {
      const { org, id, states, mentor, coordinator } = await coded(tx)
      const [next] = await mentor.rpc('rotate_code', { org_id: org, grace: '2 days' })
      expect(await states(String(next?.id))).toEqual([state('active')])
      const until = async () => {
        const [row] = await tx`select redeemable_until from referral.codes where id = ${id}`
        return row?.redeemable_until
      }
      const grace = await until()
      await coordinator.rpc('end_code', { code_id: id })
      const cut = await until()
      expect(Number(cut)).toBeLessThan(Number(grace))
      expect(await states()).toEqual([
        state('active'),
        state('rotated', { redeemable_until: grace }),
        state('rotated', { redeemable_until: cut }),
      ])
    }))

  test('have the expiry as stored by the job, whose time is later than the expiry', () =>
    undone(sql, async (tx) => {
      const { id, states } = await coded(tx)
      await tx`update referral.codes set expires_at = clock_timestamp() where id = ${id}`
      await operator(tx).rpc('expire_codes')
      const expires_at = expect.any(Date)
      expect(await states()).toEqual([
        state('active'),
        state('active', { expires_at }),
        state('expired', { expires_at }),
      ])
    }))

  test('begin when the code changed', () =>
    undone(sql, async (tx) => {
      const { id, coordinator } = await coded(tx)
      // As text: a Date has no microseconds, and the code was made in the same millisecond.
      const [before] = await tx`select clock_timestamp()::text as at`
      await coordinator.rpc('suspend_code', { code_id: id })
      const rows = await tx`
        select since between ${before?.at}::text::timestamptz and clock_timestamp() as now from referral_private.code_states
        where code_id = ${id} order by state_id`
      expect(rows).toEqual([{ now: false }, { now: true }])
    }))
})

/** Whether the code was usable at each of these times of 1 June 2025, by these states. */
async function usable(tx: Sql, states: State[], times: string[]) {
  const { org, id } = await coded(tx)
  const at = (time: string) => `2025-06-01T${time}Z`
  await restate(
    tx,
    id,
    states.map(({ status, since, expires_at, redeemable_until }) => ({
      status,
      since: at(since),
      ...(expires_at && { expires_at: at(expires_at) }),
      ...(redeemable_until && { redeemable_until: at(redeemable_until) }),
    })),
  )
  const rows = await tx`
    select referral_private.is_code_usable(${org}, ${id}, t.at) as usable
    from unnest(${times.map(at)}::timestamptz[]) with ordinality as t (at, n) order by n`
  return times.filter((_, n) => rows[n]?.usable)
}

describe('is_code_usable', () => {
  const made = { status: 'active', since: '12:00:00.7' }

  test('from 60 seconds before the code was made, in whole seconds', () =>
    undone(sql, async (tx) => {
      const times = ['11:58:59', '11:58:59.9', '11:59:00', '11:59:01', '12:00:00', '23:59:59']
      expect(await usable(tx, [made], times)).toEqual(times.slice(2))
    }))

  test('until 60 seconds after a suspension, and from 60 seconds before the code is active again', () =>
    undone(sql, async (tx) => {
      const states = [
        made,
        { status: 'suspended', since: '13:00:00.2' },
        { status: 'active', since: '14:00:00.9' },
      ]
      const good = ['13:00:59', '13:01:00', '13:01:00.9', '13:59:00', '13:59:01']
      const times = ['13:01:01', '13:30:00', '13:58:59', ...good]
      expect(await usable(tx, states, times)).toEqual(good)
    }))

  test('throughout a suspension of two minutes, and not in one of a second more', () =>
    undone(sql, async (tx) => {
      const suspended = (until: string) => [
        made,
        { status: 'suspended', since: '13:00:00' },
        { status: 'active', since: until },
      ]
      const times = ['13:01:00', '13:01:01', '13:01:02']
      expect(await usable(tx, suspended('13:02:01'), times)).toEqual(times)
      expect(await usable(tx, suspended('13:02:02'), times)).toEqual(['13:01:00', '13:01:02'])
    }))

  test.for([
    [{ redeemable_until: '16:00:00.5' }, ['15:01:01', '16:00:59', '16:01:00', '16:01:00.9']],
    [{}, []],
  ] as const)('of a rotated code with %o until 60 seconds after that', ([grace, good]) =>
    undone(sql, async (tx) => {
      const states = [made, { status: 'rotated', since: '15:00:00', ...grace }]
      const times = ['15:00:59', '15:01:00', ...good, '16:01:01', '23:00:00']
      expect(await usable(tx, states, times)).toEqual(['15:00:59', '15:01:00', ...good])
    }),
  )

  test('until 60 seconds after a grace that was cut short', () =>
    undone(sql, async (tx) => {
      const states = [
        made,
        { status: 'rotated', since: '15:00:00', redeemable_until: '16:00:00' },
        { status: 'rotated', since: '15:30:00.4', redeemable_until: '15:30:00.3' },
      ]
      const times = ['15:31:00', '15:31:01', '16:00:00']
      expect(await usable(tx, states, times)).toEqual(['15:31:00'])
    }))

  test('until 60 seconds after the expiry that was in force then, whenever its end was stored', () =>
    undone(sql, async (tx) => {
      const states = [
        { ...made, expires_at: '13:00:00.9' },
        { status: 'active', since: '12:30:00', expires_at: '14:00:00.9' },
        { status: 'expired', since: '18:00:00', expires_at: '14:00:00.9' },
      ]
      const good = ['13:30:00', '14:00:59', '14:01:00']
      expect(await usable(tx, states, [...good, '14:01:01', '17:00:00'])).toEqual(good)
    }))

  test('until 60 seconds after it was ended, though its expiry is later', () =>
    undone(sql, async (tx) => {
      const states = [
        { ...made, expires_at: '20:00:00' },
        { status: 'invalidated', since: '13:00:00', expires_at: '20:00:00' },
      ]
      expect(await usable(tx, states, ['13:00:59', '13:01:00', '13:01:01', '14:00:00'])).toEqual([
        '13:00:59',
        '13:01:00',
      ])
    }))

  test('not of a code that was never active, nor of another code', () =>
    undone(sql, async (tx) => {
      expect(await usable(tx, [{ ...made, status: 'suspended' }], ['12:00:00'])).toEqual([])
      const { org, id } = await coded(tx)
      const [row] = await tx`
        select referral_private.is_code_usable(${org}, gen_random_uuid(), now()) as other,
          referral_private.is_code_usable(gen_random_uuid(), ${id}, now()) as elsewhere,
          referral_private.is_code_usable(${org}, ${id}, now()) as own`
      expect(row).toEqual({ other: false, elsewhere: false, own: true })
    }))
})
