/** Sign-ups at once, where a code is required: the hook of Auth asks in a transaction of its own. */
import { describe, expect, test } from 'vitest'
import { person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase } from '../support/database.ts'
import { scene } from '../support/scene.ts'
import { sessions } from '../support/sessions.ts'

const sql = await testDatabase()
const times = (count: number) => Array.from({ length: count }, (_, i) => i)

async function limitedCode(max_uses: number) {
  const here = await scene(sql)
  const given = { org_id: here.org, referrer_id: here.mentor.id, max_uses }
  const [row] = await here.coordinator.rpc('create_code', given)
  return { ...here, id: String(row?.id), code: String(row?.code) }
}

/** The HTTP status with which the hook refuses a sign-up, or `passed`. */
async function ask(tx: Sql, code: string, id: string = crypto.randomUUID()) {
  const event = { user: { id, user_metadata: { referral_code: code } } }
  const [row] = await tx`
    select referral_private.require_code_at_sign_up(${tx.json(event)}) as answer`
  return row?.answer.error?.http_code ?? 'passed'
}

describe('at once', () => {
  test('200 sign-ups on a code of one use: exactly one passes', async () => {
    const { code } = await limitedCode(1)
    const outcomes = await Promise.all(times(200).map(() => ask(sql, code)))
    expect(outcomes.filter((outcome) => outcome === 'passed')).toHaveLength(1)
    expect(outcomes.filter((outcome) => outcome === 403)).toHaveLength(199)
  })

  test('sign-ups that redeem, and people who only redeem, on 20 uses: exactly 20', async () => {
    const { org, code } = await limitedCode(20)
    const redeem = (id: string) =>
      person(sql, id)
        .rpc('redeem_code', { code })
        .then(
          () => 'redeemed',
          (error) => refusal(Promise.reject(error)),
        )
    const outcomes = await Promise.all(
      times(60).map(async (n) => {
        const id = crypto.randomUUID()
        if (n % 2) return redeem(id)
        return (await ask(sql, code, id)) === 'passed' ? redeem(id) : 'not signed up'
      }),
    )
    expect(outcomes.filter((outcome) => outcome === 'redeemed')).toHaveLength(20)
    const [rest] = await sql`
      select used, (select count(*)::int from referral_private.sign_up_reservations where org_id = ${org}) as reserved
      from referral.code_quotas where org_id = ${org}`
    expect(rest).toEqual({ used: 20, reserved: 0 })
  })
})

describe('one after the other', () => {
  test('a sign-up waits for another that reserves the last use', () =>
    sessions(sql, async (one, other) => {
      const { code } = await limitedCode(1)
      expect(await ask(one.tx, code)).toBe('passed')
      const second = ask(other.tx, code)
      await other.blocked()
      await one.commit()
      expect(await second).toBe(403)
    }))

  test('a redemption waits for a sign-up that reserves the last use', () =>
    sessions(sql, async (one, other) => {
      const { code } = await limitedCode(1)
      await ask(one.tx, code)
      const redemption = refusal(person(other.tx).rpc('redeem_code', { code }))
      await other.blocked()
      await one.commit()
      expect(await redemption).toBe('code_uses_reserved')
    }))

  test('a sign-up waits for a redemption of the last use', () =>
    sessions(sql, async (one, other) => {
      const { code } = await limitedCode(1)
      await person(one.tx).rpc('redeem_code', { code })
      const signUp = ask(other.tx, code)
      await other.blocked()
      await one.commit()
      expect(await signUp).toBe(403)
    }))

  test('a sign-up waits for the end of its code', () =>
    sessions(sql, async (staff, auth) => {
      const { id, code, coordinator } = await limitedCode(5)
      await person(staff.tx, coordinator.id).rpc('end_code', { code_id: id })
      const signUp = ask(auth.tx, code)
      await auth.blocked()
      await staff.commit()
      expect(await signUp).toBe(403)
    }))

  test('a sign-up that waits too long is told so, before Auth ends the hook', () =>
    sessions(sql, async (one, other) => {
      const { code } = await limitedCode(5)
      await ask(one.tx, code)
      await other.tx`set local statement_timeout to '2000'`
      expect(await ask(other.tx, code)).toBe(503)
    }))

  test('the same user who signs up with two codes, there and back, waits and does not deadlock', () =>
    sessions(sql, async (one, other) => {
      const [first, second] = [await limitedCode(1), await limitedCode(1)]
      const id = crypto.randomUUID()
      await ask(one.tx, first.code, id)
      const back = ask(other.tx, second.code, id)
      await other.blocked()
      expect(await ask(one.tx, first.code, id)).toBe('passed')
      await one.commit()
      expect(await back).toBe('passed')
    }))
})
