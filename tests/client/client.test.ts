import { createClient } from '@supabase/supabase-js'
import { describe, expect, inject, test } from 'vitest'
import { createCache } from '../../client/cache.ts'
import {
  createOperatorClient,
  createReferralClient,
  createStaffClient,
  type LedgerSlice,
  type ProgramTerms,
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
const clientOf = ({ supabase }: Caller, orgId: string) => createReferralClient(supabase, { orgId })
const staffOf = ({ supabase }: Caller, orgId: string) => createStaffClient(supabase, { orgId })
/** For calls that are of no organisation. */
const nowhere = { orgId: crypto.randomUUID() }

describe('the client', () => {
  test('creates, gets, finds, rotates, lists and ends codes', async () => {
    const { org, admin, mentor, code } = await sceneOverHttp()
    const referrals = clientOf(mentor, org)
    expect((await referrals.getActiveCode()).data?.code).toBe(code)
    const rotated = await referrals.rotateCode({ grace: '1 day', reason: 'new card' })
    expect(rotated.data).toMatchObject({ rotation: 1, status: 'active' })
    expect((await referrals.findByCode(`https://go.example.org/link/${code}`)).data).toMatchObject({
      status: 'rotated',
      reason: 'new card',
    })
    expect((await referrals.deactivateCode({ reason: 'done' })).data).toMatchObject({
      status: 'invalidated',
    })
    expect(await referrals.deactivateCode()).toMatchObject({
      data: null,
      error: null,
    })
    expect(await referrals.getActiveCode()).toMatchObject({ data: null, error: null })
    const chosen = await clientOf(admin, org).createCode({
      referrerId: mentor.id,
      code: `summer ${org.slice(0, 8)}`,
    })
    expect(chosen).toMatchObject({
      data: { code: `SUMMER-${org.slice(0, 8).toUpperCase()}` },
      error: null,
    })
    expect((await clientOf(admin, org).listCodes()).data).toHaveLength(3)
  })

  test('takes the seed’s calls, which name the referrer and the organisation', async () => {
    const { org, admin, mentor, code } = await sceneOverHttp()
    const referrals = createReferralClient(mentor.supabase, nowhere)
    expect((await referrals.getActiveCode(mentor.id, org)).data?.code).toBe(code)
    expect((await referrals.rotateCode(mentor.id, org, { grace: '1 day' })).data?.rotation).toBe(1)
    const ended = await referrals.deactivateCode(mentor.id, org, 'done')
    expect(ended.data).toMatchObject({ status: 'invalidated', reason: 'done' })
    expect((await referrals.createCode(mentor.id, org)).data?.status).toBe('active')
    const another = await referrals.createCode(mentor.id, org, undefined, { description: 'card' })
    expect(another.error?.code).toBe('active_code_exists')
    const staff = createReferralClient(admin.supabase, nowhere)
    const page = await staff.listCodesByOrganisation(org, { pageSize: 2 })
    expect(page.data).toHaveLength(2)
    expect((await staff.listCodes()).data).toEqual([])
  })

  test('takes what follows the referrer and the organisation also where these are left out', async () => {
    const { org, admin, mentor } = await sceneOverHttp()
    const text = `left out ${org.slice(0, 8)}`
    const made = await clientOf(admin, org).createCode(undefined as never, undefined as never, text)
    expect(made.data?.code).toBe(`LEFT-OUT-${org.slice(0, 8).toUpperCase()}`)
    const referrals = clientOf(mentor, org)
    const none = undefined as never
    expect((await referrals.rotateCode(none, none, { reason: 'lost' })).data?.rotation).toBe(1)
    const ended = await referrals.deactivateCode(none, none, 'done')
    expect(ended.data).toMatchObject({ status: 'invalidated', reason: 'done' })
  })

  test.for([
    ['codes', {}, 9],
    ['codes that can be used', { usable: true }, 3],
  ] as const)(
    'pages through %s, newest first, without losing or repeating one',
    async ([, filter, count]) => {
      const { org, admin, mentor } = await sceneOverHttp()
      for (let i = 0; i < 6; i++) await clientOf(mentor, org).rotateCode()
      await staffOf(admin, org).generateCodes({ count: 2, expiresAt: '2099-01-01T00:00:00Z' })
      const all = (await clientOf(admin, org).listCodes(filter)).data ?? []
      const seen: string[] = []
      for (let after = undefined as (typeof all)[number] | undefined; seen.length < 20; ) {
        const page = await clientOf(admin, org).listCodes({ ...filter, pageSize: 2, after })
        seen.push(...(page.data ?? []).map(({ id }) => id))
        after = page.data?.at(-1)
        if (!after) break
      }
      expect(seen).toEqual(all.map(({ id }) => id))
      expect(seen).toHaveLength(count)
    },
  )

  test('redeems, and shows the referrer their referrals', async () => {
    const { org, mentor, friend, code } = await sceneOverHttp()
    const redeemed = await clientOf(friend, org).redeem(
      ` https://example.org/welcome?ref=${code} `,
      {
        channel: 'qr',
      },
    )
    expect(redeemed.data).toMatchObject({ org_id: org, code, status: 'pending' })
    expect((await clientOf(mentor, org).myReferrals()).data).toMatchObject([
      { status: 'pending', channel: 'qr', confirmed_at: null },
    ])
  })

  test('claims a click only where it has one', async () => {
    const { org, friend, code } = await sceneOverHttp()
    const found = { code, clickId: null, channel: 'share' } as const
    const none = { ...found, clickId: crypto.randomUUID() }
    expect((await clientOf(friend, org).redeem(code, none)).error?.code).toBe('invalid_click')
    const pasted = await clientOf(friend, org).redeem(code, { ...found, provenance: 'clipboard' })
    expect(pasted.data?.status).toBe('pending')
  })

  test('gives the database’s refusals as they are', async () => {
    const { org, mentor, friend, code } = await sceneOverHttp()
    expect((await clientOf(mentor, org).createCode()).error).toMatchObject({
      code: 'active_code_exists',
    })
    expect((await clientOf(friend, org).createCode({ referrerId: mentor.id })).error).toMatchObject(
      {
        code: 'not_a_member',
      },
    )
    expect((await clientOf(mentor, org).redeem(code)).error).toMatchObject({
      code: 'self_referral',
    })
    expect((await clientOf(friend, org).redeem('🎉')).error).toMatchObject({ code: 'invalid_code' })
  })

  test('gives refusals of the platform a code of ours', async () => {
    const { org, mentor } = await sceneOverHttp()
    expect((await clientOf(mentor, 'nothing').getActiveCode()).error).toMatchObject({
      code: 'invalid_argument',
    })
    expect(
      (await createReferralClient(anonymousOverHttp(), nowhere).redeem('ABC')).error,
    ).toMatchObject({
      code: 'not_signed_in',
    })
    const expired = await personOverHttp(mentor.id, { claims: { exp: 1 } })
    expect((await clientOf(expired, org).redeem('ABC')).error).toMatchObject({
      code: 'not_signed_in',
    })
  })

  test('says unreachable when no answer comes', async () => {
    const away = createClient('http://127.0.0.1:9', stack.SUPABASE_PUBLISHABLE_KEY)
    expect((await createReferralClient(away, nowhere).findByCode('ABC')).error).toMatchObject({
      code: 'unreachable',
    })
  })
})

describe('the cache of getActiveCode', () => {
  const behindTheBack = ({ supabase }: Caller, org: string) =>
    supabase.rpc('rotate_code', { org_id: org }).throwOnError()

  test('remembers a code, forgets it with its own writes, and can be cleared', async () => {
    const { org, mentor, code } = await sceneOverHttp()
    const referrals = clientOf(mentor, org)
    const active = async () => (await referrals.getActiveCode()).data?.code
    expect(await active()).toBe(code)
    await behindTheBack(mentor, org)
    expect(await active()).toBe(code)
    referrals.clearCache()
    expect(await active()).not.toBe(code)
    const { data: rotated } = await referrals.rotateCode()
    expect(await active()).toBe(rotated?.code)
    await referrals.deactivateCode()
    expect(await active()).toBeUndefined()
  })

  test('is switched off by 0', async () => {
    const { org, mentor, code } = await sceneOverHttp()
    const referrals = createReferralClient(mentor.supabase, { orgId: org, cacheSeconds: 0 })
    await referrals.getActiveCode()
    await behindTheBack(mentor, org)
    expect((await referrals.getActiveCode()).data?.code).not.toBe(code)
  })

  test('does not keep an answer that was asked for before a write', () => {
    const cache = createCache<string>(60)
    const keep = cache.prepare('key')
    cache.clear()
    keep('old')
    expect(cache.get('key')).toBeUndefined()
  })

  test('starts anew after a hundred', () => {
    const cache = createCache<number>(60)
    for (let i = 0; i <= 100; i++) cache.prepare(`key ${i}`)(i)
    expect([cache.get('key 0'), cache.get('key 99'), cache.get('key 100')]).toEqual([
      undefined,
      undefined,
      100,
    ])
  })
})

describe('a referrer in a program with open enrolment', () => {
  test('gets a code for the asking, and the same again', async () => {
    const { org, friend } = await sceneOverHttp()
    const first = await clientOf(friend, org).getOrCreateCode()
    expect(first.data?.referrer_id).toBe(friend.id)
    expect((await clientOf(friend, org).getOrCreateCode()).data).toEqual(first.data)
  })
})

describe('a referee', () => {
  test('validates, redeems, and finds what they have', async () => {
    const { org, mentor, friend, code } = await sceneOverHttp()
    const referee = clientOf(friend, org)
    expect((await referee.validate(code)).data).toMatchObject({ code, organisation_name: 'Org' })
    expect(
      (await createReferralClient(anonymousOverHttp(), nowhere).validate('NOBODY')).data,
    ).toBeNull()
    expect((await referee.hasRedeemed(code)).data).toBe(false)
    const { data } = await referee.redeem(code)
    expect((await referee.hasRedeemed(code)).data).toBe(true)
    expect((await referee.myRedemption()).data).toEqual(data)
    expect((await referee.redeemSignUpCode()).data).toBeNull()
    expect((await referee.validate(code)).error).toMatchObject({ code: 'already_redeemed' })
    expect((await clientOf(mentor, org).validate(code)).error).toMatchObject({
      code: 'self_referral',
    })
  })
})

describe('the staff client', () => {
  test('makes campaign codes one by one, in batches and from rows', async () => {
    const { org, admin } = await sceneOverHttp()
    const staff = staffOf(admin, org)
    const own = org.slice(0, 8)
    const { data: one } = await staff.createCampaignCode({ code: `fair ${own}`, maxUses: 5 })
    expect(one).toMatchObject({ code: `FAIR-${own.toUpperCase()}`, referrer_id: null })
    expect((await staff.generateCodes({ count: 100, maxUses: 1 })).data?.made).toBe(100)
    const rows = [{ code: `import ${own}`, description: 'poster' }]
    expect((await staff.importCodes({ rows })).data?.made).toBe(1)
    const faults = [{ column: 'code', code: 'code_taken', details: null }]
    expect((await staff.importCodes({ rows })).data).toEqual({
      batch_id: null,
      made: 0,
      rows: [{ row: 1, code: `import ${own}`, faults }],
    })
  })

  test('suspends, reactivates, edits and ends codes, and sees who used them', async () => {
    const { org, admin, mentor, friend, code } = await sceneOverHttp()
    const staff = staffOf(admin, org)
    const { data } = await clientOf(mentor, org).getActiveCode()
    const id = data?.id ?? ''
    expect((await staff.suspendCode({ codeId: id, reason: 'spam' })).data).toMatchObject({
      status: 'suspended',
      reason: 'spam',
    })
    expect((await staff.reactivateCode({ codeId: id })).data?.status).toBe('active')
    expect((await staff.updateCode({ codeId: id, maxUses: 1 })).data?.quota_id).toBeTruthy()
    const { data: redeemed } = await clientOf(friend, org).redeem(code)
    expect((await staff.usageForCode({ codeId: id })).data).toMatchObject([
      { referee_id: friend.id },
    ])
    expect((await staff.usageForUser({ userId: friend.id, pageSize: 1 })).data).toHaveLength(1)
    expect((await staff.codeUsageStats({ codeId: id })).data).toMatchObject({
      total_uses: 1,
      recent_users: [friend.id],
    })
    expect(
      (await staffOf(mentor, org).codeUsageStats({ codeId: id })).data?.recent_users,
    ).toBeNull()
    const redemptionId = redeemed?.redemption_id ?? ''
    expect((await staff.confirmRedemption({ redemptionId })).data?.status).toBe('confirmed')
    expect((await staff.rejectRedemption({ redemptionId, reason: 'fraud' })).data?.status).toBe(
      'rejected',
    )
    expect((await staff.endCode({ codeId: id })).data?.status).toBe('invalidated')
    expect((await staff.endCode({ codeId: crypto.randomUUID() })).error).toMatchObject({
      code: 'code_not_found',
    })
    expect(
      (await staff.deactivateMember({ userId: mentor.id, block: true })).data?.blocked_at,
    ).toBeTruthy()
  })
})

describe('decisions', () => {
  test('reject referrals, forfeit, are listed newest first, and are withdrawn', async () => {
    const { org, admin, mentor, friend, code } = await sceneOverHttp()
    const staff = staffOf(admin, org)
    await clientOf(friend, org).redeem(code)
    const { data: own } = await clientOf(mentor, org).getActiveCode()
    const programId = own?.program_id ?? ''
    const rejected = await staff.rejectReferral({
      programId,
      personId: friend.id,
      reason: 'fraud',
    })
    expect(rejected.data).toMatchObject({ kind: 'reject', person_id: friend.id, reason: 'fraud' })
    await staff.rejectReferral({ programId, payerId: 'cus_1' })
    const since = '2026-01-01T00:00:00+00:00'
    const times = { since, until: '2026-02-01T00:00:00+00:00' }
    expect((await staff.forfeitFrom({ memberId: mentor.id, ...times })).data).toMatchObject(times)
    expect((await staff.forfeitFrom({ codeId: own?.id ?? '' })).data).toMatchObject({
      chain_id: own?.id,
    })
    const all = (await staff.listDecisions()).data ?? []
    expect(all.map(({ kind }) => kind)).toEqual(['forfeit', 'forfeit', 'reject', 'reject'])
    const first = (await staff.listDecisions({ pageSize: 2 })).data ?? []
    const rest = await staff.listDecisions({ after: first[1] })
    expect([...first, ...(rest.data ?? [])]).toEqual(all)
    const withdrawn = await staff.withdrawDecision({
      decisionId: rejected.data?.id ?? '',
      reason: 'mistaken',
    })
    expect(withdrawn.data).toMatchObject({ withdrawal_reason: 'mistaken' })
    const standing = await staff.listDecisions({ personId: friend.id, standing: true })
    expect(standing.data).toEqual([])
    expect((await staff.listDecisions({ memberId: mentor.id })).data).toHaveLength(1)
    expect((await staff.usageForUser({ userId: friend.id })).data).toMatchObject([
      { status: 'pending' },
    ])
    expect((await staff.withdrawDecision({ decisionId: crypto.randomUUID() })).error?.code).toBe(
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
    const id = (await clientOf(mentor, org).getActiveCode()).data?.id ?? ''
    const day = new Date().toISOString().slice(0, 10)
    const counted = [{ day, platform: 'ios', channel: 'qr', clicks: 1 }]
    expect((await staffOf(admin, org).codeClicks({ codeId: id })).data).toEqual(counted)
    const owner = staffOf(mentor, org)
    expect((await owner.codeClicks({ codeId: id, fromDay: day, toDay: day })).data).toEqual(counted)
    expect((await owner.codeClicks({ codeId: id, fromDay: '2026-01-01' })).error?.code).toBe(
      'invalid_argument',
    )
  })
})

describe('earnings', () => {
  test('are shown to their owner, entry by entry, with what they come from', async () => {
    const { org, admin, mentor, friend, code } = await sceneOverHttp()
    const staff = staffOf(admin, org)
    const terms: ProgramTerms = { enrolment: 'open', commission: { kind: 'percent', bps: 1000 } }
    const paid = { key: 'paid', name: 'Paid' }
    const { data: program } = await staff.createProgram(paid)
    await staff.updateProgram({ programId: program?.id ?? '', terms, isDefault: true })
    const referrals = clientOf(mentor, org)
    await referrals.deactivateCode()
    const settings = { programId: program?.id ?? '', description: 'card' }
    const made = await referrals.createCode(mentor.id, org, undefined, settings)
    expect(made.data).toMatchObject({ program_id: program?.id, description: 'card' })
    await clientOf(friend, org).redeem(made.data?.code ?? '')
    const at = Math.floor(Date.now() / 1000) + 5
    const event = paidInvoice({ id: `in_${org.slice(0, 8)}`, userId: friend.id, at })
    await deliver(stack, JSON.stringify(event))

    const ofMentor = { earnerId: mentor.id }
    const usd = {
      ...{ currency: 'usd', livemode: false, pending: 100, available: 0, in_transit: 0, paid: 0 },
      ...{ owed: 0, reward_pending: 0, reward_available: 0, settlement_pending: false },
    }
    expect((await referrals.myEarnings()).data).toEqual([usd])
    expect((await referrals.myEarnings({ livemode: true })).data).toEqual([])
    expect((await clientOf(admin, org).myEarnings(ofMentor)).data).toEqual([usd])
    expect((await clientOf(friend, org).myEarnings(ofMentor)).error?.code).toBe('not_a_member')
    const statement = await referrals.myStatement({ pageSize: 1 })
    expect(statement.data).toMatchObject([
      { from_kind: 'expense', to_kind: 'pending', amount: 100, sale_id: null, caused_by: null },
    ])
    const after = statement.data?.at(-1)
    expect((await referrals.myStatement({ after })).data).toEqual([])
    const number = statement.data?.[0]?.sale_number ?? 0
    const why = await referrals.explainCommission({ sale: number })
    expect(why.data).toMatchObject([{ amount: 100, refusal: null, sale_id: null, event_ids: null }])
    const sale_id = `in_${org.slice(0, 8)}`
    const asked = { sale: sale_id, livemode: false }
    expect((await referrals.explainCommission(asked)).error?.code).toBe('not_allowed')
    expect((await clientOf(admin, org).explainCommission(asked)).data).toMatchObject([
      { amount: 100, livemode: false, sale_id, sale_number: number, event_ids: [event.id] },
    ])
    const { data: owed } = await staff.orgLiabilities({ pageSize: 1 })
    expect(owed).toMatchObject([{ earner_id: mentor.id, livemode: false, pending: 100 }])
    expect(owed?.[0] && (await staff.orgLiabilities({ after: owed[0] })).data).toEqual([])
    expect((await referrals.codeUses({ codeIds: [made.data?.id ?? ''] })).data).toMatchObject([
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
    const staff = staffOf(admin, org)
    const person = crypto.randomUUID()
    expect((await staff.addMember({ userId: person })).data?.role).toBe('member')
    expect((await staff.setMemberRole({ userId: person, role: 'coordinator' })).data?.role).toBe(
      'coordinator',
    )
    expect((await staff.setMemberRole({ userId: admin.id, role: 'member' })).error?.code).toBe(
      'last_admin',
    )
    expect(
      (await clientOf(mentor, org).setMyName({ name: 'Olivia', isPublic: true })).data,
    ).toMatchObject({
      display_name: 'Olivia',
      public_name: true,
    })
    await staff.deactivateMember({ userId: mentor.id, block: true, reason: 'abuse' })
    const back = await staff.reactivateMember({ userId: mentor.id, unblock: true })
    expect(back.data).toMatchObject({ deactivated_at: null, blocked_at: null })
    expect((await staff.updateOrganisation({ name: 'New' })).data?.name).toBe('New')
    const { data: code } = await clientOf(mentor, org).createCode()
    expect((await staff.codeChanges({ codeId: code?.id ?? '' })).data).toMatchObject([
      { to_status: 'active' },
    ])
  })
})

describe('what is on record', () => {
  test('is listed for admins and the operator, newest first, page by page', async () => {
    const { org, admin, mentor } = await sceneOverHttp()
    const staff = staffOf(admin, org)
    await staff.updateOrganisation({ codeLength: 9 })
    await createStaffClient(operatorOverHttp(), { orgId: org }).updateOrganisation({
      codeLength: 10,
    })
    const first = await staff.listChanges({ pageSize: 1 })
    expect(first.data).toMatchObject([
      { subject: 'organisation', actor_id: null, made_as: 'service_role', subject_id: org },
    ])
    const [last] = first.data ?? []
    expect(last).toMatchObject({ before: { code_length: 9 }, after: { code_length: 10 } })
    const page = { after: last, pageSize: 1 }
    expect(
      (await createStaffClient(operatorOverHttp(), { orgId: org }).listChanges(page)).data,
    ).toMatchObject([{ actor_id: admin.id, made_as: 'authenticated', after: { code_length: 9 } }])
    const { data: program } = await admin.supabase
      .from('programs')
      .select('id')
      .eq('org_id', org)
      .single()
      .throwOnError()
    const ofProgram = { subjectId: program.id, actorId: admin.id }
    const made = (await staff.listChanges(ofProgram)).data ?? []
    expect(made.map(({ subject, before }) => [subject, before])).toEqual([
      ['terms', null],
      ['program', null],
    ])
    const refused = await staffOf(mentor, org).listChanges()
    expect(refused.error?.code).toBe('not_allowed')
  })
})
