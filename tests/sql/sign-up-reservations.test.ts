/** Where a code is required at sign-up, its limit binds before anybody redeems. */
import { describe, expect, test } from 'vitest'
import { operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

const trigger = `
  create trigger note_sign_up_code after insert or update of is_anonymous on auth.users
  for each row execute function referral_private.note_sign_up_code()`

/** An organisation with a limited code of the mentor's, and sign-ups as Auth makes them. */
async function limitedScene(tx: Sql, max_uses: number | null) {
  const here = await scene(tx)
  const given = { org_id: here.org, referrer_id: here.mentor.id, max_uses }
  const [row] = await here.coordinator.rpc('create_code', given)
  await tx.unsafe(trigger)
  const code = String(row?.code)

  /** Asks the hook as Auth does before it creates a user. Gives the message of a refusal, and null if the sign-up may go on. */
  const told = async (id: string, referral_code = code, more: object = {}) => {
    const user = { id, aud: 'authenticated', role: '', user_metadata: { referral_code }, ...more }
    const event = { metadata: { name: 'before-user-created' }, user }
    const [answer] = await tx`
      select referral_private.require_code_at_sign_up(${tx.json(event as never)}) as answer`
    const { error } = answer?.answer ?? {}
    if (error) expect(error.http_code).toBe(403)
    return error ? String(error.message) : null
  }
  const ask = async (...of: Parameters<typeof told>) => (await told(...of)) === null
  /** Asks the hook, and creates the user if it agrees. */
  const signUp = async (referral_code = code, is_anonymous = false) => {
    const user = person(tx)
    if (!(await ask(user.id, referral_code, { is_anonymous }))) return null
    await tx`
      insert into auth.users (id, is_anonymous, raw_user_meta_data)
      values (${user.id}, ${is_anonymous}, ${tx.json({ referral_code })})`
    return user
  }
  const reserved = () => tx`select user_id from referral_private.sign_up_reservations`
  const used = async () =>
    (await tx`select used from referral.code_quotas where quota_id = ${String(row?.quota_id)}`)[0]
      ?.used
  const hourPassed = () =>
    tx`update referral_private.sign_up_reservations set expires_at = clock_timestamp()`
  return { ...here, code, id: String(row?.id), told, ask, signUp, reserved, used, hourPassed }
}

describe('a sign-up with a limited code', () => {
  test('reserves a use: as many sign up as the code has uses, before anybody redeems', () =>
    undone(sql, async (tx) => {
      const { signUp, reserved } = await limitedScene(tx, 3)
      const people = await Promise.all(Array.from({ length: 20 }, () => signUp()))
      expect(people.filter(Boolean)).toHaveLength(3)
      expect(await reserved()).toHaveLength(3)
    }))

  test('is told whether the uses are reserved or gone', () =>
    undone(sql, async (tx) => {
      const { code, told, signUp } = await limitedScene(tx, 1)
      const user = await signUp()
      expect(await told(crypto.randomUUID())).toContain('Try again in an hour.')
      await user?.rpc('redeem_code', { code })
      expect(await told(crypto.randomUUID())).toBe('A valid referral code is needed to sign up.')
    }))

  test('takes what is used into account, and what is reserved from those who only redeem', () =>
    undone(sql, async (tx) => {
      const { code, friend, signUp } = await limitedScene(tx, 2)
      await friend.rpc('redeem_code', { code })
      const user = await signUp()
      expect(user).not.toBeNull()
      expect(await signUp()).toBeNull()
      const other = person(tx)
      expect(await other.rpc('resolve_code', { code })).toEqual([])
      for (const rpc of ['validate_code', 'redeem_code'])
        expect(await refusal(other.rpc(rpc, { code }))).toBe('code_uses_reserved')
      await user?.rpc('redeem_code', { code })
      for (const rpc of ['validate_code', 'redeem_code'])
        expect(await refusal(other.rpc(rpc, { code }))).toBe('code_limit_reached')
    }))

  test.for([
    ['redeem_sign_up_code', () => ({})],
    ['redeem_code', (code: string) => ({ code })],
  ] as const)('turns the reservation into the use by %s', ([rpc, args]) =>
    undone(sql, async (tx) => {
      const { code, signUp, reserved, used } = await limitedScene(tx, 1)
      const user = await signUp()
      expect([await used(), (await reserved()).length]).toEqual([0, 1])
      expect(await user?.rpc('validate_code', { code })).toMatchObject([{ code }])
      expect(await user?.rpc(rpc, args(code))).toMatchObject([{ code }])
      expect([await used(), (await reserved()).length]).toEqual([1, 0])
      expect(await user?.rpc('redeem_code', { code })).toMatchObject([{ code }])
      expect([await used(), await signUp()]).toEqual([1, null])
    }),
  )

  test('reserves nothing where the code has no limit', () =>
    undone(sql, async (tx) => {
      const { signUp, reserved } = await limitedScene(tx, null)
      expect([await signUp(), await signUp()].filter(Boolean)).toHaveLength(2)
      expect(await reserved()).toEqual([])
    }))

  test('with the same id again keeps its one reservation, of the code that it gave last', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, friend, ask, reserved } = await limitedScene(tx, 1)
      expect([await ask(friend.id), await ask(friend.id)]).toEqual([true, true])
      expect(await ask(crypto.randomUUID())).toBe(false)
      const [other] = await coordinator.rpc('create_campaign_code', { org_id: org, max_uses: 1 })
      expect(await ask(friend.id, String(other?.code))).toBe(true)
      expect(await reserved()).toEqual([{ user_id: friend.id }])
      expect(await ask(crypto.randomUUID())).toBe(true)
    }))

  test('of an anonymous user reserves, too: they become permanent without the hook', () =>
    undone(sql, async (tx) => {
      const { code, signUp, used } = await limitedScene(tx, 1)
      const user = await signUp(code, true)
      expect(await signUp(code, true)).toBeNull()
      await tx`update auth.users set is_anonymous = false where id = ${String(user?.id)}`
      expect(await user?.rpc('redeem_sign_up_code')).toMatchObject([{ code }])
      expect(await used()).toBe(1)
    }))

  test('that is rolled back with its hook reserves nothing', () =>
    undone(sql, async (tx) => {
      const { signUp, reserved } = await limitedScene(tx, 1)
      await tx`savepoint before`
      await signUp()
      await tx`rollback to savepoint before`
      expect(await reserved()).toEqual([])
    }))

  test('is asked about by a role with no more rights than docs/sign-up.md grants', () =>
    undone(sql, async (tx) => {
      const { ask } = await limitedScene(tx, 1)
      const role = `auth_${crypto.randomUUID().replaceAll('-', '')}`
      await tx.unsafe(`
        create role ${role};
        grant ${role} to postgres;
        grant usage on schema referral_private to ${role};
        grant execute on function referral_private.require_code_at_sign_up to ${role};
        set local role ${role}`)
      expect([await ask(crypto.randomUUID()), await ask(crypto.randomUUID())]).toEqual([
        true,
        false,
      ])
      const direct = tx.savepoint(
        (point) => point`select from referral_private.sign_up_reservations`,
      )
      expect(await refusal(direct)).toBe('42501')
      await tx`reset role`
    }))

  test('without an id reserves nothing, and goes no further', () =>
    undone(sql, async (tx) => {
      const { ask } = await limitedScene(tx, 1)
      const event = () => tx.savepoint(() => ask(null as never))
      expect(await refusal(event())).toBe('23502')
      expect(await ask(crypto.randomUUID())).toBe(true)
    }))
})

describe('a reservation', () => {
  test('lasts an hour, whether the job has run or not', () =>
    undone(sql, async (tx) => {
      const { code, friend, signUp, hourPassed, used } = await limitedScene(tx, 1)
      const user = await signUp()
      const [row] = await tx`
        select expires_at - clock_timestamp() between '59 minutes' and '60 minutes' as is_an_hour
        from referral_private.sign_up_reservations`
      expect(row).toEqual({ is_an_hour: true })
      await hourPassed()
      expect(await friend.rpc('resolve_code', { code })).toHaveLength(1)
      expect(await friend.rpc('redeem_code', { code })).toHaveLength(1)
      expect(await user?.rpc('redeem_sign_up_code')).toEqual([])
      expect(await used()).toBe(1)
    }))

  test('that is over leaves its use to the first who takes it, also to the same person', () =>
    undone(sql, async (tx) => {
      const { signUp, hourPassed, used } = await limitedScene(tx, 1)
      const user = await signUp()
      await hourPassed()
      expect(await user?.rpc('redeem_sign_up_code')).toHaveLength(1)
      expect(await used()).toBe(1)
      expect(await signUp()).toBeNull()
    }))

  test('is removed by purge_sign_up_claims when it is over, as many as asked for', () =>
    undone(sql, async (tx) => {
      const { signUp, hourPassed, reserved } = await limitedScene(tx, 3)
      const purge = async (max_rows: number) =>
        (await operator(tx).rpc('purge_sign_up_claims', { max_rows }))[0]?.purge_sign_up_claims
      for (let n = 0; n < 3; n++) await signUp()
      expect(await purge(10)).toBe(0)
      await hourPassed()
      await tx`
        update referral_private.sign_up_claims set claimed_at = now() - interval '91 days'
        where user_id = (select user_id from referral_private.sign_up_claims limit 1)`
      expect([await purge(2), (await reserved()).length]).toEqual([2, 2])
      expect([await purge(2), await purge(2), await reserved()]).toEqual([2, 0, []])
    }))

  test('of a user who was deleted is free after the hour', () =>
    undone(sql, async (tx) => {
      const { signUp, hourPassed } = await limitedScene(tx, 1)
      const user = await signUp()
      await tx`delete from auth.users where id = ${String(user?.id)}`
      expect(await signUp()).toBeNull()
      await hourPassed()
      expect(await signUp()).not.toBeNull()
    }))

  test('is of the chain: a rotation changes nothing', () =>
    undone(sql, async (tx) => {
      const { org, mentor, signUp, used, reserved } = await limitedScene(tx, 2)
      const user = await signUp()
      const [next] = await mentor.rpc('rotate_code', { org_id: org, grace: '1 day' })
      const late = await signUp(String(next?.code))
      expect([await signUp(), await signUp(String(next?.code))]).toEqual([null, null])
      expect(await user?.rpc('redeem_sign_up_code')).toHaveLength(1)
      expect(await late?.rpc('redeem_code', { code: next?.code })).toHaveLength(1)
      expect([await used(), await reserved()]).toEqual([2, []])
    }))

  test('of a code that has ended since is free again with the claim', () =>
    undone(sql, async (tx) => {
      const { coordinator, id, signUp, reserved } = await limitedScene(tx, 1)
      const user = await signUp()
      await coordinator.rpc('end_code', { code_id: id })
      expect(await signUp()).toBeNull()
      expect(await user?.rpc('redeem_sign_up_code')).toEqual([])
      expect(await reserved()).toEqual([])
    }))

  test('stands through a suspension, which may pass', () =>
    undone(sql, async (tx) => {
      const { coordinator, id, code, signUp } = await limitedScene(tx, 1)
      const user = await signUp()
      await coordinator.rpc('suspend_code', { code_id: id })
      expect(await refusal(user?.rpc('redeem_sign_up_code') as never)).toBe('code_suspended')
      await coordinator.rpc('reactivate_code', { code_id: id })
      expect(await refusal(person(tx).rpc('redeem_code', { code }))).toBe('code_uses_reserved')
      expect(await user?.rpc('redeem_sign_up_code')).toHaveLength(1)
    }))

  test.for([
    ['to 1', 1],
    ['to none and then to 1', null],
  ] as const)('follows a limit that staff change %s', ([, changed]) =>
    undone(sql, async (tx) => {
      const { coordinator, id, code, signUp } = await limitedScene(tx, 3)
      const people = [await signUp(), await signUp(), await signUp()]
      for (const max_uses of [changed, 1])
        await coordinator.rpc('update_code', { code_id: id, changes: { max_uses } })
      expect(await signUp()).toBeNull()
      expect(await refusal(person(tx).rpc('redeem_code', { code }))).toBe('code_uses_reserved')
      const answers = []
      for (const user of people) answers.push(await user?.rpc('redeem_sign_up_code'))
      expect(answers.map((rows) => rows?.length)).toEqual([1, 0, 0])
    }),
  )

  test('of others keeps a claim for later, while a use may become free', () =>
    undone(sql, async (tx) => {
      const { code, signUp, hourPassed } = await limitedScene(tx, 1)
      const late = await signUp()
      await hourPassed()
      const other = await signUp()
      expect(await refusal(late?.rpc('redeem_sign_up_code') as never)).toBe('code_uses_reserved')
      await hourPassed()
      expect(await late?.rpc('redeem_sign_up_code')).toMatchObject([{ code }])
      expect(await other?.rpc('redeem_sign_up_code')).toEqual([])
    }))

  test('of a person who redeems another code of the program is free again with the claim', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, signUp, reserved } = await limitedScene(tx, 1)
      const user = await signUp()
      const other = await codeOf(coordinator, org)
      await user?.rpc('redeem_code', { code: other.code })
      expect(await user?.rpc('redeem_sign_up_code')).toEqual([])
      expect(await reserved()).toEqual([])
    }))
})
