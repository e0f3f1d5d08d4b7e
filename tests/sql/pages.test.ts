/** Pages begin after a row that there is; what is no row of the organisation is refused, not an empty page. */
import { expect, test } from 'vitest'
import { operator, person, refusal } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

test('redemptions of an unknown row, or of another organisation’s, are refused', () =>
  undone(sql, async (tx) => {
    const [here, there] = [await scene(tx), await scene(tx)]
    const { id } = await codeOf(here.mentor, here.org)
    const { code } = await codeOf(there.mentor, there.org)
    const [other] = await there.friend.rpc('redeem_code', { code })
    for (const after of [crypto.randomUUID(), other?.redemption_id]) {
      const page = { after }
      const ofUser = { org_id: here.org, user_id: here.friend.id }
      const calls = [
        () => here.mentor.rpc('my_referrals', { org_id: here.org, ...page }),
        () => here.admin.rpc('usage_for_code', { code_id: id, ...page }),
        () => here.admin.rpc('usage_for_user', { ...ofUser, ...page }),
      ]
      for (const call of calls) expect(await refusal(call())).toBe('invalid_argument')
    }
  }))

test('each page begins where the last one ended, also among redemptions of one instant', () =>
  undone(sql, async (tx) => {
    const { org, mentor } = await scene(tx)
    const { code } = await codeOf(mentor, org)
    for (let n = 0; n < 5; n++) await person(tx).rpc('redeem_code', { code })
    await tx`update referral.redemptions set redeemed_at = '2026-01-01' where org_id = ${org}`
    const seen: unknown[] = []
    for (let after: unknown = null; ; ) {
      const page = await mentor.rpc('my_referrals', { org_id: org, after, page_size: 2 })
      seen.push(...page.map(({ redemption_id }) => redemption_id))
      if (page.length < 2) break
      after = page.at(-1)?.redemption_id
    }
    expect(seen).toHaveLength(5)
    expect(new Set(seen).size).toBe(5)
  }))

test('a statement, and parked events, of an unknown row are refused', () =>
  undone(sql, async (tx) => {
    const { org, mentor } = await scene(tx)
    const statement = mentor.rpc('my_statement', { org_id: org, after: 1 })
    expect(await refusal(statement)).toBe('invalid_argument')
    const parked = operator(tx).rpc('list_parked_events', { after_event: 'evt_none' })
    expect(await refusal(parked)).toBe('invalid_argument')
  }))
