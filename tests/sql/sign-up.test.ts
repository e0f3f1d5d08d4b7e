import { describe, expect, test } from 'vitest'
import { operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

/** What docs/sign-up.md tells an adopter to run. */
const trigger = `
  create trigger note_sign_up_code after insert on auth.users
  for each row execute function referral_private.note_sign_up_code()`

async function signUp(tx: Sql, metadata: unknown) {
  const user = person(tx)
  await tx`insert into auth.users (id, raw_user_meta_data) values (${user.id}, ${tx.json(metadata as never)})`
  return user
}

describe('a code given at sign-up', () => {
  test('is redeemed at the person’s first call, once', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      await tx.unsafe(trigger)
      const user = await signUp(tx, { referral_code: code.toLowerCase() })
      expect(await user.rpc('redeem_sign_up_code')).toMatchObject([{ code, status: 'pending' }])
      expect(await user.rpc('redeem_sign_up_code')).toEqual([])
      expect(await mentor.rpc('my_referrals', { org_id: org })).toMatchObject([
        { channel: 'sign_up' },
      ])
    }))

  test('is found also where the metadata is a JSON text in a JSON string', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      await tx.unsafe(trigger)
      const user = await signUp(tx, JSON.stringify({ referral_code: code }))
      expect(await user.rpc('redeem_sign_up_code')).toHaveLength(1)
    }))

  test.for([
    null,
    {},
    [],
    5,
    'text',
    '{broken',
    '{"referral_code":"\\u0000"}',
    '{"x":"\\ud800"}',
    '{"n":1e999999}',
    { referral_code: null },
    { referral_code: '' },
    { referral_code: 5 },
    { referral_code: {} },
    { referral_code: 'x'.repeat(100_000) },
    { referral_code: '🎉' },
  ])('can break no sign-up: %.40j', (metadata) =>
    undone(sql, async (tx) => {
      await tx.unsafe(trigger)
      const user = await signUp(tx, metadata)
      expect(await tx`select from auth.users where id = ${user.id}`).toHaveLength(1)
    }),
  )

  test('that is refused for now says why, and stays for another try', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const { id, code } = await codeOf(mentor, org)
      await tx.unsafe(trigger)
      await coordinator.rpc('suspend_code', { code_id: id })
      const user = await signUp(tx, { referral_code: code })
      expect(await refusal(user.rpc('redeem_sign_up_code'))).toBe('code_suspended')
      await coordinator.rpc('reactivate_code', { code_id: id })
      expect(await user.rpc('redeem_sign_up_code')).toHaveLength(1)
    }))

  test('is forgotten where it can never be redeemed, and after 90 days', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      await tx.unsafe(trigger)
      const claims = async () => (await tx`select from referral_private.sign_up_claims`).length
      const lost = await signUp(tx, { referral_code: 'not a code!!' })
      expect(await lost.rpc('redeem_sign_up_code')).toEqual([])
      expect(await claims()).toBe(0)
      await signUp(tx, { referral_code: code })
      const forget = async () => (await operator(tx).rpc('purge_sign_up_claims'))[0]
      expect(await forget()).toEqual({ purge_sign_up_claims: 0 })
      await tx`update referral_private.sign_up_claims set claimed_at = now() - interval '91 days'`
      expect(await forget()).toEqual({ purge_sign_up_claims: 1 })
      expect(await claims()).toBe(0)
    }))
})

describe('the hook that requires a code', () => {
  const ask = async (tx: Sql, user: object) => {
    const event = tx.json({ user } as never)
    const [row] = await tx`select referral_private.require_code_at_sign_up(${event}) as answer`
    return row?.answer
  }

  test('lets a redeemable code through, and nothing else', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      expect(await ask(tx, { user_metadata: { referral_code: code } })).toEqual({})
      for (const user of [
        {},
        { user_metadata: null },
        { user_metadata: { referral_code: 'NOBODY' } },
      ]) {
        expect(await ask(tx, user)).toMatchObject({ error: { http_code: 403 } })
      }
    }))
})
