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

test('what an organisation owes comes page by page, each row once, also inside a person', () =>
  undone(sql, async (tx) => {
    const { org, admin } = await scene(tx)
    await tx`
      insert into referral_private.ledger_accounts (org_id, livemode, earner_id, kind, currency, balance)
      select ${org}, livemode, md5(n::text)::uuid, kind::referral.account_kind, currency, n
      from generate_series(1, 1500) as n
      cross join unnest('{usd,eur}'::text[]) as currency
      cross join unnest('{true,false}'::boolean[]) as livemode
      cross join unnest('{pending,reward_available}'::text[]) as kind
      where (n % 100 = 0 or currency = 'usd' and livemode)`
    const read = async (page_size: number, more: object = {}) => {
      const seen: Record<string, unknown>[] = []
      for (let after: unknown = null; ; ) {
        const args = {
          org_id: org,
          page_size,
          after: after && JSON.parse(JSON.stringify(after)),
          ...more,
        }
        const page = await admin.rpc('org_liabilities', args)
        expect(page.length).toBeLessThanOrEqual(page_size)
        seen.push(...page)
        if (page.length < page_size) return seen
        const { earner_id, currency, livemode } = page.at(-1) as Record<string, unknown>
        after = { earner_id, currency, livemode }
      }
    }
    const all = await read(1000)
    expect(all).toHaveLength(1500 + 3 * 15)
    expect(new Set(all.map(({ earner_id }) => earner_id)).size).toBe(1500)
    expect(all.every((row) => row.pending === row.reward_available)).toBe(true)
    expect(await read(7)).toEqual(all)
    expect(await read(100, { livemode: false })).toEqual(all.filter((row) => !row.livemode))
    expect(await admin.rpc('org_liabilities', { org_id: org })).toHaveLength(100)
  }))

test.for([
  {},
  [],
  'usd',
  { earner_id: crypto.randomUUID(), currency: 'usd' },
  { earner_id: 'nobody', currency: 'usd', livemode: true },
])('what an organisation owes after %o is refused', (after) =>
  undone(sql, async (tx) => {
    const { org, admin } = await scene(tx)
    const call = admin.run('select referral.org_liabilities($1, after => $2::text::jsonb)', [
      org,
      JSON.stringify(after),
    ])
    expect(await refusal(call)).toBe('invalid_argument')
  }),
)
