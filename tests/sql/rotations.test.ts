/** How many codes a member can pile up by rotating, and what a referrer sees of the uses of each. */
import { describe, expect, test } from 'vitest'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { type Actor, details, operator, person, refusal } from '../support/actors.ts'
import { recordClick, visitor } from '../support/clicks.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

/** An organisation whose limits are these, and a mentor with a code. */
async function limited(tx: Sql, changes: object) {
  const here = await scene(tx)
  await here.admin.rpc('update_organisation', { org_id: here.org, changes })
  return { ...here, ...(await codeOf(here.mentor, here.org)), ofOrg: { org_id: here.org } }
}

const usable = (tx: Sql, org: string) =>
  tx`select from referral.codes where org_id = ${org} and (status = 'active' or redeemable_until > clock_timestamp())`

/** Changes codes as time does, past the triggers. */
async function later(tx: Sql, change: string) {
  await tx`set constraints all immediate`
  await tx`alter table referral.codes disable trigger user`
  await tx.unsafe(`update referral.codes set ${change} where status = 'rotated'`)
  await tx`alter table referral.codes enable trigger user, enable always trigger codes_keep_what_they_are`
  await tx`set constraints all deferred`
}

/** Calls a member's rotation again and again, and says how often it was done and how it was refused in the end. */
async function untilRefused(call: () => Promise<unknown>): Promise<[number, string]> {
  for (let done = 0; done < 50; done++) {
    const outcome = await call().then(
      () => 'ok',
      (error) => refusal(Promise.reject(error)),
    )
    if (outcome !== 'ok') return [done, outcome]
  }
  throw new Error('never refused')
}

describe('codes in their grace', () => {
  test('count as the member’s codes: a rotation with a grace is refused with too_many_codes', () =>
    undone(sql, async (tx) => {
      const { org, mentor, ofOrg } = await limited(tx, { codes_per_member: 3 })
      const rotate = () => mentor.rpc('rotate_code', { ...ofOrg, grace: '7 days' })
      expect(await untilRefused(rotate)).toEqual([2, 'too_many_codes'])
      expect(await usable(tx, org)).toHaveLength(3)
    }))

  test('count for staff too, who can always rotate without a grace', () =>
    undone(sql, async (tx) => {
      const { coordinator, mentor, ofOrg } = await limited(tx, { codes_per_member: 2 })
      const ofMentor = { ...ofOrg, referrer_id: mentor.id }
      const rotate = () => coordinator.rpc('rotate_code', { ...ofMentor, grace: '7 days' })
      expect(await untilRefused(rotate)).toEqual([1, 'too_many_codes'])
      expect(await coordinator.rpc('rotate_code', ofMentor)).toHaveLength(1)
    }))

  test('count for a campaign code of their referrer’s', () =>
    undone(sql, async (tx) => {
      const { coordinator, ofOrg, org } = await limited(tx, { codes_per_member: 3 })
      await codeOf(coordinator, org)
      await coordinator.rpc('rotate_code', { ...ofOrg, grace: '7 days' })
      await coordinator.rpc('create_campaign_code', ofOrg)
      expect(await refusal(coordinator.rpc('create_campaign_code', ofOrg))).toBe('too_many_codes')
    }))

  test.for([
    ['their grace is over', 'redeemable_until = clock_timestamp()'],
    ['they are past their expiry', 'expires_at = clock_timestamp()'],
  ] as const)('count no more when %s', ([, change]) =>
    undone(sql, async (tx) => {
      const { mentor, ofOrg } = await limited(tx, { codes_per_member: 2 })
      await mentor.rpc('rotate_code', { ...ofOrg, grace: '7 days' })
      const again = () => mentor.rpc('rotate_code', { ...ofOrg, grace: '7 days' })
      expect(await refusal(again())).toBe('too_many_codes')
      await later(tx, change)
      expect(await again()).toHaveLength(1)
    }),
  )

  test('are refused by the time that they last, not by how intervals compare', () =>
    undone(sql, async (tx) => {
      const { mentor, ofOrg } = await limited(tx, { codes_per_member: 1 })
      const [row] = await tx`
        select (now() at time zone 'utc' + interval '12 months')::date - (now() at time zone 'utc')::date - 1 as days`
      // 12 months compare as 360 days, so this is less than nothing, and ends in a day.
      const grace = `12 months -${row?.days} days`
      expect(await refusal(mentor.rpc('rotate_code', { ...ofOrg, grace }))).toBe('too_many_codes')
    }))
})

describe('rotations_per_day', () => {
  test('is 10 unless set, and 1 to 1,000', () =>
    undone(sql, async (tx) => {
      const { admin, coordinator, mentor, ofOrg } = await limited(tx, {})
      const rotate = () => mentor.rpc('rotate_code', ofOrg)
      expect(await untilRefused(rotate)).toEqual([10, 'rate_limited'])
      expect(await details(rotate())).toBe('rotations_per_day: 10 within 24 hours')
      const set = (by: Actor, rotations_per_day: number) =>
        by.rpc('update_organisation', { ...ofOrg, changes: { rotations_per_day } })
      expect(await refusal(set(coordinator, 20))).toBe('not_allowed')
      for (const count of [0, 1001])
        expect(await details(set(admin, count))).toBe('rotations_per_day: 1 to 1,000')
      expect(await set(operator(tx), 11)).toMatchObject([{ rotations_per_day: 11 }])
      expect(await untilRefused(rotate)).toEqual([1, 'rate_limited'])
    }))

  test.for(['create_code', 'get_or_create_code'])(
    'counts a code that is ended and made anew by %s',
    (rpc) =>
      undone(sql, async (tx) => {
        const { mentor, ofOrg } = await limited(tx, { rotations_per_day: 3 })
        await mentor.rpc('rotate_code', ofOrg)
        const anew = async () => {
          await mentor.rpc('deactivate_code', ofOrg)
          await mentor.rpc(rpc, ofOrg)
        }
        expect(await untilRefused(anew)).toEqual([2, 'rate_limited'])
      }),
  )

  test('is of each 24 hours, and of each organisation', () =>
    undone(sql, async (tx) => {
      const { mentor, ofOrg } = await limited(tx, { rotations_per_day: 1 })
      const elsewhere = await scene(tx)
      await elsewhere.coordinator.rpc('add_member', { org_id: elsewhere.org, user_id: mentor.id })
      await codeOf(mentor, elsewhere.org)
      const rotate = () => mentor.rpc('rotate_code', ofOrg)
      expect(await untilRefused(rotate)).toEqual([1, 'rate_limited'])
      expect(await mentor.rpc('rotate_code', { org_id: elsewhere.org })).toHaveLength(1)
      await later(tx, "ended_at = ended_at - interval '23 hours 50 minutes'")
      expect(await refusal(rotate())).toBe('rate_limited')
      await later(tx, "ended_at = ended_at - interval '10 minutes'")
      expect(await untilRefused(rotate)).toEqual([1, 'rate_limited'])
    }))

  test('binds a coordinator with a code of their own, and no staff who act for a member', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor, ofOrg } = await limited(tx, { rotations_per_day: 1 })
      await codeOf(coordinator, org)
      const own = () => coordinator.rpc('rotate_code', ofOrg)
      expect(await untilRefused(own)).toEqual([1, 'rate_limited'])
      const ofMentor = { ...ofOrg, referrer_id: mentor.id }
      for (const staff of [coordinator, operator(tx), coordinator])
        expect(await staff.rpc('rotate_code', ofMentor)).toHaveLength(1)
      expect(await refusal(mentor.rpc('rotate_code', ofOrg))).toBe('rate_limited')
    }))

  test('lets a first code be made, and one after a code that has expired', () =>
    undone(sql, async (tx) => {
      const { org, id, friend, mentor, ofOrg } = await limited(tx, { rotations_per_day: 1 })
      await mentor.rpc('rotate_code', ofOrg)
      expect(await friend.rpc('get_or_create_code', ofOrg)).toHaveLength(1)
      await tx`
        update referral.codes set expires_at = clock_timestamp()
        where org_id = ${org} and chain_id = ${id}`
      expect(await mentor.rpc('create_code', ofOrg)).toHaveLength(1)
    }))
})

/** A mentor with a code for each of two friends, of which one redeemed, and a third code that nobody has. */
async function codePerFriend(tx: Sql) {
  const here = await limited(tx, {})
  const codes = [{ id: here.id, code: here.code }]
  for (let n = 0; n < 2; n++) {
    const [next] = await here.mentor.rpc('rotate_code', { ...here.ofOrg, grace: '7 days' })
    codes.push({ id: String(next?.id), code: String(next?.code) })
  }
  await here.friend.rpc('redeem_code', { code: codes[1]?.code })
  return { ...here, codes, ids: codes.map(({ id }) => id) }
}

describe('to a referrer with a code for each friend', () => {
  test('code_usage_stats shows the uses of the chain, and to staff those of the code', () =>
    undone(sql, async (tx) => {
      const { coordinator, mentor, ids } = await codePerFriend(tx)
      const uses = (by: Actor) =>
        Promise.all(
          ids.map(async (code_id) => {
            const [row] = await by.rpc('code_usage_stats', { code_id })
            return [row?.total_uses, row?.unique_users, row?.last_used !== null]
          }),
        )
      expect(await uses(mentor)).toEqual(ids.map(() => [1n, 1n, true]))
      const [none, one] = [
        [0n, 0n, false],
        [1n, 1n, true],
      ]
      for (const staff of [coordinator, operator(tx)])
        expect(await uses(staff)).toEqual([none, one, none])
    }))

  test('code_uses shows the uses of the chain, and to staff those of the code', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor, ids } = await codePerFriend(tx)
      const { id } = await codeOf(coordinator, org)
      const asked = [...ids, id].join()
      const uses = async (by: Actor) => {
        const rows = await by.rpc('code_uses', { code_ids: `{${asked}}` })
        return Object.fromEntries(rows.map(({ code_id, uses_count }) => [code_id, uses_count]))
      }
      const perCode = { [String(ids[0])]: 0n, [String(ids[1])]: 1n, [String(ids[2])]: 0n, [id]: 0n }
      for (const staff of [coordinator, operator(tx)]) expect(await uses(staff)).toEqual(perCode)
      expect(await uses(mentor)).toEqual(Object.fromEntries(ids.map((own) => [own, 1n])))
    }))

  test('code_uses of two chains are apart', () =>
    undone(sql, async (tx) => {
      const { mentor, ofOrg, ids } = await codePerFriend(tx)
      await mentor.rpc('deactivate_code', ofOrg)
      const [next] = await mentor.rpc('create_code', ofOrg)
      for (let n = 0; n < 2; n++) await person(tx).rpc('redeem_code', { code: next?.code })
      const rows = await mentor.rpc('code_uses', { code_ids: `{${ids[0]},${next?.id}}` })
      expect(rows.map(({ uses_count }) => Number(uses_count)).sort()).toEqual([1, 2])
    }))

  test('code_clicks shows the clicks of the chain, and to staff those of the code', () =>
    undone(sql, async (tx) => {
      const { coordinator, mentor, codes, ids } = await codePerFriend(tx)
      for (const [n, code] of [codes[0], codes[1], codes[1]].entries())
        await recordClick(tx, { ...visitor, code: code?.code, address: `203.0.${n}.1` })
      const clicks = (by: Actor) =>
        Promise.all(ids.map(async (code_id) => (await by.rpc('code_clicks', { code_id }))[0]))
      expect(await clicks(mentor)).toMatchObject(ids.map(() => ({ clicks: 3, channel: null })))
      expect(await clicks(coordinator)).toMatchObject([{ clicks: 1 }, { clicks: 2 }, undefined])
    }))

  test('the quota of a limited chain is one', () =>
    undone(sql, async (tx) => {
      const { coordinator, ids } = await codePerFriend(tx)
      await coordinator.rpc('update_code', { code_id: ids[2], changes: { max_uses: 5 } })
      const rows = await coordinator.run('select used, max_uses from referral.code_quotas')
      expect(rows).toEqual([{ used: 1, max_uses: 5 }])
    }))

  test('explain_commission names the first code of the chain, and to staff the code', () =>
    undone(sql, async (tx) => {
      const commission = { kind: 'percent', bps: 1000 }
      const { org, admin, mentor } = await scene(tx, { enrolment: 'open', commission })
      const first = await codeOf(mentor, org)
      const [next] = await mentor.rpc('rotate_code', { org_id: org, grace: '7 days' })
      await ingest(tx, paidInvoice({ id: 'in_1', code: String(next?.code) }))
      const [entry] = await mentor.rpc('my_statement', { org_id: org })
      const named = async (by: Actor) => {
        const of = { org_id: org, sale_number: String(entry?.sale_number) }
        const rows = await by.rpc('explain_commission', of)
        return rows.map(({ amount, code_id }) => [amount, code_id])
      }
      expect(await named(mentor)).toEqual([[100n, first.id]])
      expect(await named(admin)).toEqual([[100n, next?.id]])
    }))
})
