import { createClient } from '@supabase/supabase-js'
import { describe, expect, inject, test } from 'vitest'
import { createCache } from '../../client/cache.ts'
import {
  createOperatorClient,
  createReferralClient,
  createStaffClient,
  type LedgerSlice,
  type UnattributedSale,
} from '../../client/index.ts'
import { deliver } from '../../scripts/demo/stripe.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import {
  anonymousOverHttp,
  type Caller,
  operatorOverHttp,
  personOverHttp,
  sceneOverHttp,
} from '../support/http.ts'

const stack = inject('stack')
const clientOf = ({ supabase }: Caller) => createReferralClient(supabase)

describe('the client', () => {
  test('creates, gets, finds, rotates, lists and ends codes', async () => {
    const { org, admin, mentor, code } = await sceneOverHttp()
    const referrals = clientOf(mentor)
    expect((await referrals.getActiveCode(mentor.id, org)).data?.code).toBe(code)
    const rotated = await referrals.rotateCode(mentor.id, org, {
      grace: '1 day',
      reason: 'new card',
    })
    expect(rotated.data).toMatchObject({ rotation: 1, status: 'active' })
    expect((await referrals.findByCode(`https://go.example.org/link/${code}`)).data).toMatchObject({
      status: 'rotated',
      reason: 'new card',
    })
    expect((await referrals.deactivateCode(mentor.id, org, 'done')).data).toMatchObject({
      status: 'invalidated',
    })
    expect(await referrals.deactivateCode(mentor.id, org)).toMatchObject({
      data: null,
      error: null,
    })
    expect(await referrals.getActiveCode(mentor.id, org)).toMatchObject({ data: null, error: null })
    const chosen = await clientOf(admin).createCode(mentor.id, org, `summer ${org.slice(0, 8)}`)
    expect(chosen).toMatchObject({
      data: { code: `SUMMER-${org.slice(0, 8).toUpperCase()}` },
      error: null,
    })
    expect((await clientOf(admin).listCodesByOrganisation(org)).data).toHaveLength(3)
  })

  test('pages through codes, newest first, without losing or repeating one', async () => {
    const { org, admin, mentor } = await sceneOverHttp()
    for (let i = 0; i < 6; i++) await clientOf(mentor).rotateCode(mentor.id, org)
    const all = (await clientOf(admin).listCodesByOrganisation(org)).data ?? []
    const seen: string[] = []
    for (let after = undefined as (typeof all)[number] | undefined; ; ) {
      const page = await clientOf(admin).listCodesByOrganisation(org, {
        limit: 3,
        ...(after && { after }),
      })
      seen.push(...(page.data ?? []).map(({ id }) => id))
      after = page.data?.at(-1)
      if (!after) break
    }
    expect(seen).toEqual(all.map(({ id }) => id))
    expect(seen).toHaveLength(7)
  })

  test('redeems, and shows the referrer their referrals', async () => {
    const { org, mentor, friend, code } = await sceneOverHttp()
    const redeemed = await clientOf(friend).redeem(` https://example.org/welcome?ref=${code} `, {
      channel: 'qr',
    })
    expect(redeemed.data).toMatchObject({ org_id: org, code, status: 'pending' })
    expect((await clientOf(mentor).myReferrals(org)).data).toMatchObject([
      { status: 'pending', channel: 'qr', confirmed_at: null },
    ])
  })

  test('claims a click only where it has one', async () => {
    const { friend, code } = await sceneOverHttp()
    const found = { code, clickId: null, channel: 'share' } as const
    const none = { ...found, clickId: crypto.randomUUID() }
    expect((await clientOf(friend).redeem(code, none)).error?.code).toBe('invalid_click')
    const pasted = await clientOf(friend).redeem(code, { ...found, provenance: 'clipboard' })
    expect(pasted.data?.status).toBe('pending')
  })

  test('gives the database’s refusals as they are', async () => {
    const { org, mentor, friend, code } = await sceneOverHttp()
    expect((await clientOf(mentor).createCode(mentor.id, org)).error).toMatchObject({
      code: 'active_code_exists',
    })
    expect((await clientOf(friend).createCode(mentor.id, org)).error).toMatchObject({
      code: 'not_a_member',
    })
    expect((await clientOf(mentor).redeem(code)).error).toMatchObject({ code: 'self_referral' })
    expect((await clientOf(friend).redeem('🎉')).error).toMatchObject({ code: 'invalid_code' })
  })

  test('gives refusals of the platform a code of ours', async () => {
    const { mentor } = await sceneOverHttp()
    expect((await clientOf(mentor).getActiveCode('nobody', 'nothing')).error).toMatchObject({
      code: 'invalid_argument',
    })
    expect((await createReferralClient(anonymousOverHttp()).redeem('ABC')).error).toMatchObject({
      code: 'not_signed_in',
    })
    const expired = await personOverHttp(mentor.id, { claims: { exp: 1 } })
    expect((await clientOf(expired).redeem('ABC')).error).toMatchObject({ code: 'not_signed_in' })
  })

  test('says unreachable when no answer comes', async () => {
    const nowhere = createReferralClient(
      createClient('http://127.0.0.1:9', stack.SUPABASE_PUBLISHABLE_KEY),
    )
    expect((await nowhere.findByCode('ABC')).error).toMatchObject({ code: 'unreachable' })
  })
})

describe('the cache of getActiveCode', () => {
  const behindTheBack = ({ supabase }: Caller, org: string) =>
    supabase.rpc('rotate_code', { org_id: org }).throwOnError()

  test('remembers a code, forgets it with its own writes, and can be cleared', async () => {
    const { org, mentor, code } = await sceneOverHttp()
    const referrals = clientOf(mentor)
    const active = async () => (await referrals.getActiveCode(mentor.id, org)).data?.code
    expect(await active()).toBe(code)
    await behindTheBack(mentor, org)
    expect(await active()).toBe(code)
    referrals.clearCache()
    expect(await active()).not.toBe(code)
    const { data: rotated } = await referrals.rotateCode(mentor.id, org)
    expect(await active()).toBe(rotated?.code)
    await referrals.deactivateCode(mentor.id, org)
    expect(await active()).toBeUndefined()
  })

  test('is switched off by 0', async () => {
    const { org, mentor, code } = await sceneOverHttp()
    const referrals = createReferralClient(mentor.supabase, { cacheSeconds: 0 })
    await referrals.getActiveCode(mentor.id, org)
    await behindTheBack(mentor, org)
    expect((await referrals.getActiveCode(mentor.id, org)).data?.code).not.toBe(code)
  })

  test('does not keep an answer that was asked for before a write', () => {
    const cache = createCache<string>(60)
    const keep = cache.prepare('key')
    cache.clear()
    keep('old')
    expect(cache.get('key')).toBeUndefined()
  })

  test('forgets the oldest of more than a hundred', () => {
    const cache = createCache<number>(60)
    for (let i = 0; i <= 100; i++) cache.prepare(`key ${i}`)(i)
    expect([cache.get('key 0'), cache.get('key 1'), cache.get('key 100')]).toEqual([
      undefined,
      1,
      100,
    ])
  })
})

describe('a referrer in a program with open enrolment', () => {
  test('gets a code for the asking, and the same again', async () => {
    const { org, friend } = await sceneOverHttp()
    const first = await clientOf(friend).getOrCreateCode(org)
    expect(first.data?.referrer_id).toBe(friend.id)
    expect((await clientOf(friend).getOrCreateCode(org)).data).toEqual(first.data)
  })
})

describe('a referee', () => {
  test('validates, redeems, and finds what they have', async () => {
    const { org, mentor, friend, code } = await sceneOverHttp()
    const referee = clientOf(friend)
    expect((await referee.validate(code)).data).toMatchObject({ code, organisation_name: 'Org' })
    expect((await createReferralClient(anonymousOverHttp()).validate('NOBODY')).data).toBeNull()
    expect((await referee.hasRedeemed(code)).data).toBe(false)
    const { data } = await referee.redeem(code)
    expect((await referee.hasRedeemed(code)).data).toBe(true)
    expect((await referee.myRedemption(org)).data).toEqual(data)
    expect((await referee.redeemSignUpCode()).data).toBeNull()
    expect((await referee.validate(code)).error).toMatchObject({ code: 'already_redeemed' })
    expect((await clientOf(mentor).validate(code)).error).toMatchObject({ code: 'self_referral' })
  })
})

describe('the staff client', () => {
  test('makes campaign codes one by one, in batches and from rows', async () => {
    const { org, admin } = await sceneOverHttp()
    const staff = createStaffClient(admin.supabase)
    const own = org.slice(0, 8)
    const { data: one } = await staff.createCampaignCode(org, { code: `fair ${own}`, max_uses: 5 })
    expect(one).toMatchObject({ code: `FAIR-${own.toUpperCase()}`, referrer_id: null })
    expect((await staff.generateCodes(org, 100, { max_uses: 1 })).data?.made).toBe(100)
    const rows = [{ code: `import ${own}`, description: 'poster' }]
    expect((await staff.importCodes(org, rows)).data?.made).toBe(1)
    const faults = [{ column: 'code', code: 'code_taken', details: null }]
    expect((await staff.importCodes(org, rows)).data).toEqual({
      batch_id: null,
      made: 0,
      rows: [{ row: 1, code: `import ${own}`, faults }],
    })
  })

  test('suspends, reactivates, edits and ends codes, and sees who used them', async () => {
    const { org, admin, mentor, friend, code } = await sceneOverHttp()
    const staff = createStaffClient(admin.supabase)
    const { data } = await clientOf(mentor).getActiveCode(mentor.id, org)
    const id = data?.id ?? ''
    expect((await staff.suspendCode(id, 'spam')).data).toMatchObject({
      status: 'suspended',
      reason: 'spam',
    })
    expect((await staff.reactivateCode(id)).data?.status).toBe('active')
    expect((await staff.updateCode(id, { max_uses: 1 })).data?.quota_id).toBeTruthy()
    const { data: redeemed } = await clientOf(friend).redeem(code)
    expect((await staff.usageForCode(id)).data).toMatchObject([{ referee_id: friend.id }])
    expect((await staff.usageForUser(org, friend.id, { pageSize: 1 })).data).toHaveLength(1)
    expect((await staff.codeUsageStats(id)).data).toMatchObject({
      total_uses: 1,
      recent_users: [friend.id],
    })
    expect(
      (await createStaffClient(mentor.supabase).codeUsageStats(id)).data?.recent_users,
    ).toBeNull()
    const redemption = redeemed?.redemption_id ?? ''
    expect((await staff.confirmRedemption(redemption)).data?.status).toBe('confirmed')
    expect((await staff.rejectRedemption(redemption, 'fraud')).data?.status).toBe('rejected')
    expect((await staff.endCode(id)).data?.status).toBe('invalidated')
    expect((await staff.endCode(crypto.randomUUID())).error).toMatchObject({
      code: 'code_not_found',
    })
    expect(
      (await staff.deactivateMember(org, mentor.id, { block: true })).data?.blocked_at,
    ).toBeTruthy()
  })
})

describe('decisions', () => {
  test('reject referrals, forfeit, are listed newest first, and are withdrawn', async () => {
    const { org, admin, mentor, friend, code } = await sceneOverHttp()
    const staff = createStaffClient(admin.supabase)
    await clientOf(friend).redeem(code)
    const { data: own } = await clientOf(mentor).getActiveCode(mentor.id, org)
    const program = own?.program_id ?? ''
    const rejected = await staff.rejectReferral(org, program, { personId: friend.id }, 'fraud')
    expect(rejected.data).toMatchObject({ kind: 'reject', person_id: friend.id, reason: 'fraud' })
    await staff.rejectReferral(org, program, { payerId: 'cus_1' })
    const since = '2026-01-01T00:00:00+00:00'
    const times = { since, until: '2026-02-01T00:00:00+00:00' }
    expect((await staff.forfeitFrom(org, { memberId: mentor.id }, times)).data).toMatchObject(times)
    expect((await staff.forfeitFrom(org, { codeId: own?.id ?? '' })).data).toMatchObject({
      chain_id: own?.id,
    })
    const all = (await staff.listDecisions(org)).data ?? []
    expect(all.map(({ kind }) => kind)).toEqual(['forfeit', 'forfeit', 'reject', 'reject'])
    const first = (await staff.listDecisions(org, { limit: 2 })).data ?? []
    const rest = await staff.listDecisions(org, { ...(first[1] && { after: first[1] }) })
    expect([...first, ...(rest.data ?? [])]).toEqual(all)
    const withdrawn = await staff.withdrawDecision(rejected.data?.id ?? '', 'mistaken')
    expect(withdrawn.data).toMatchObject({ withdrawal_reason: 'mistaken' })
    const standing = await staff.listDecisions(org, { personId: friend.id, standing: true })
    expect(standing.data).toEqual([])
    expect((await staff.listDecisions(org, { memberId: mentor.id })).data).toHaveLength(1)
    expect((await staff.usageForUser(org, friend.id)).data).toMatchObject([{ status: 'pending' }])
    expect((await staff.withdrawDecision(crypto.randomUUID())).error?.code).toBe(
      'decision_not_found',
    )
  })
})

describe('clicks', () => {
  test('are counted for staff and for the code’s owner, per day, platform and channel', async () => {
    const { org, admin, mentor, code } = await sceneOverHttp()
    const click = { code, click_id: crypto.randomUUID(), platform: 'ios', channel: 'qr' }
    const answer = await operatorOverHttp().rpc('record_click', click)
    expect(answer.data).toBe(true)
    const id = (await clientOf(mentor).getActiveCode(mentor.id, org)).data?.id ?? ''
    const day = new Date().toISOString().slice(0, 10)
    const counted = [{ day, platform: 'ios', channel: 'qr', clicks: 1 }]
    expect((await createStaffClient(admin.supabase).codeClicks(id)).data).toEqual(counted)
    const owner = createStaffClient(mentor.supabase)
    expect((await owner.codeClicks(id, { fromDay: day, toDay: day })).data).toEqual(counted)
    expect((await owner.codeClicks(id, { fromDay: '2026-01-01' })).error?.code).toBe(
      'invalid_argument',
    )
  })
})

describe('earnings', () => {
  test('are shown to their owner, entry by entry, with what they come from', async () => {
    const { org, admin, mentor, friend, code } = await sceneOverHttp()
    const staff = createStaffClient(admin.supabase)
    const terms = { enrolment: 'open', commission: { kind: 'percent', bps: 1000 } }
    const paid = { key: 'paid', name: 'Paid' }
    const { data: program } = await staff.createProgram(org, paid.key, paid.name)
    await staff.updateProgram(program?.id ?? '', { terms, is_default: true })
    const referrals = clientOf(mentor)
    await referrals.deactivateCode(mentor.id, org)
    const settings = { program_id: program?.id ?? '', description: 'card' }
    const made = await referrals.createCode(mentor.id, org, undefined, settings)
    expect(made.data).toMatchObject({ program_id: program?.id, description: 'card' })
    await clientOf(friend).redeem(made.data?.code ?? '')
    const at = Math.floor(Date.now() / 1000) + 5
    const event = paidInvoice({ id: `in_${org.slice(0, 8)}`, userId: friend.id, at })
    await deliver(stack, JSON.stringify(event))

    const ofMentor = { earnerId: mentor.id }
    const usd = {
      ...{ currency: 'usd', livemode: false, pending: 100, available: 0, in_transit: 0, paid: 0 },
      ...{ owed: 0, reward_pending: 0, reward_available: 0 },
    }
    expect((await referrals.myEarnings(org)).data).toEqual([usd])
    expect((await referrals.myEarnings(org, { livemode: true })).data).toEqual([])
    expect((await clientOf(admin).myEarnings(org, ofMentor)).data).toEqual([usd])
    expect((await clientOf(friend).myEarnings(org, ofMentor)).error?.code).toBe('not_a_member')
    const statement = await referrals.myStatement(org, { pageSize: 1 })
    expect(statement.data).toMatchObject([
      { from_kind: 'expense', to_kind: 'pending', amount: 100, sale_id: null, caused_by: null },
    ])
    const after = statement.data?.at(-1)?.entry_id ?? 0
    expect((await referrals.myStatement(org, { after })).data).toEqual([])
    const number = statement.data?.[0]?.sale_number ?? 0
    const why = await referrals.explainCommission(org, number)
    expect(why.data).toMatchObject([{ amount: 100, refusal: null, sale_id: null, event_ids: null }])
    const [sale_id, asked] = [`in_${org.slice(0, 8)}`, { livemode: false }]
    expect((await referrals.explainCommission(org, sale_id, asked)).error?.code).toBe('not_allowed')
    expect((await clientOf(admin).explainCommission(org, sale_id, asked)).data).toMatchObject([
      { amount: 100, livemode: false, sale_id, sale_number: number, event_ids: [event.id] },
    ])
    const { data: owed } = await staff.orgLiabilities(org, { pageSize: 1 })
    expect(owed).toMatchObject([{ earner_id: mentor.id, livemode: false, pending: 100 }])
    expect(owed?.[0] && (await staff.orgLiabilities(org, { after: owed[0] })).data).toEqual([])
    expect((await referrals.codeUses([made.data?.id ?? ''])).data).toMatchObject([
      { uses_count: 1, max_uses: null },
    ])
    expect((await referrals.resolve(code)).data).toBeNull()
  })
})

describe('the operator', () => {
  test('verifies the ledger slice by slice, and lists sales that credit nobody', async () => {
    const operator = createOperatorClient(operatorOverHttp())
    const customer = `cus_${crypto.randomUUID().slice(0, 8)}`
    for (const id of [`in_${customer}a`, `in_${customer}b`])
      await deliver(stack, JSON.stringify(paidInvoice({ id, customer })))

    let checked = 0
    for (let after: LedgerSlice['next'] | undefined; after !== null; ) {
      const { data, error } = await operator.verifyLedger({ after, pageSize: 1000 })
      if (error) throw error
      expect(data.faults).toEqual([])
      checked += data.checked
      after = data.next
    }
    expect(checked).toBeGreaterThanOrEqual(2)

    const seen: string[] = []
    for (let last: UnattributedSale | undefined; ; ) {
      const page = await operator.listUnattributed({
        livemode: false,
        stripeAccount: '',
        pageSize: 1,
        ...(last && { after: last }),
      })
      last = page.data?.[0]
      if (!last) break
      seen.push(`${last.sale_id} ${last.reason}`)
    }
    expect(seen).toEqual(
      expect.arrayContaining([`in_${customer}a no_evidence`, `in_${customer}b no_evidence`]),
    )
    expect(new Set(seen).size).toBe(seen.length)
  })

  test('counts parked events by type, version and reason', async () => {
    const operator = createOperatorClient(operatorOverHttp())
    const api_version = '2032-02-02.counted'
    for (let n = 0; n < 2; n++)
      await deliver(stack, JSON.stringify({ ...paidInvoice(), api_version }))
    const { data } = await operator.countParkedEvents({ livemode: false })
    const counted = data?.filter((row) => row.api_version === api_version)
    expect(counted).toMatchObject([
      { type: 'invoice.paid', reason: `version ${api_version}`, events: 2, stripe_accounts: 1 },
    ])
    const live = await operator.countParkedEvents({ livemode: true })
    expect(live.data?.some((row) => row.api_version === api_version)).toBe(false)
    expect((await operator.countParkedEvents()).data).toEqual(expect.arrayContaining(counted ?? []))
  })

  test('is nobody else', async () => {
    const { admin } = await sceneOverHttp()
    const counted = await createOperatorClient(admin.supabase).countParkedEvents()
    expect(counted.error?.code).toBe('misconfigured')
    const { error } = await createOperatorClient(admin.supabase).verifyLedger()
    expect(error?.code).toBe('misconfigured')
  })
})

describe('members', () => {
  test('are added, promoted, named, deactivated and brought back', async () => {
    const { org, admin, mentor } = await sceneOverHttp()
    const staff = createStaffClient(admin.supabase)
    const person = crypto.randomUUID()
    expect((await staff.addMember(org, person)).data?.role).toBe('member')
    expect((await staff.setMemberRole(org, person, 'coordinator')).data?.role).toBe('coordinator')
    expect((await staff.setMemberRole(org, admin.id, 'member')).error?.code).toBe('last_admin')
    expect(
      (await clientOf(mentor).setMyName(org, 'Olivia', { isPublic: true })).data,
    ).toMatchObject({
      display_name: 'Olivia',
      public_name: true,
    })
    await staff.deactivateMember(org, mentor.id, { block: true, reason: 'abuse' })
    const back = await staff.reactivateMember(org, mentor.id, { unblock: true })
    expect(back.data).toMatchObject({ deactivated_at: null, blocked_at: null })
    expect((await staff.updateOrganisation(org, { name: 'New' })).data?.name).toBe('New')
    const { data: code } = await clientOf(mentor).createCode(mentor.id, org)
    expect((await staff.codeChanges(code?.id ?? '')).data).toMatchObject([{ to_status: 'active' }])
  })
})

describe('what is on record', () => {
  test('is listed for admins and the operator, newest first, page by page', async () => {
    const { org, admin, mentor } = await sceneOverHttp()
    const staff = createStaffClient(admin.supabase)
    await staff.updateOrganisation(org, { code_length: 9 })
    await createStaffClient(operatorOverHttp()).updateOrganisation(org, { code_length: 10 })
    const first = await staff.listChanges(org, { pageSize: 1 })
    expect(first.data).toMatchObject([
      { subject: 'organisation', actor_id: null, made_as: 'service_role', subject_id: org },
    ])
    const [last] = first.data ?? []
    expect(last).toMatchObject({ before: { code_length: 9 }, after: { code_length: 10 } })
    const page = { after: last?.id ?? 0, pageSize: 1 }
    expect((await createStaffClient(operatorOverHttp()).listChanges(org, page)).data).toMatchObject(
      [{ actor_id: admin.id, made_as: 'authenticated', after: { code_length: 9 } }],
    )
    const { data: program } = await admin.supabase
      .from('programs')
      .select('id')
      .eq('org_id', org)
      .single()
      .throwOnError()
    const ofProgram = { subjectId: program.id, actorId: admin.id }
    const made = (await staff.listChanges(org, ofProgram)).data ?? []
    expect(made.map(({ subject, before }) => [subject, before])).toEqual([
      ['terms', null],
      ['program', null],
    ])
    const refused = await createStaffClient(mentor.supabase).listChanges(org)
    expect(refused.error?.code).toBe('not_allowed')
  })
})
