import { createClient } from '@supabase/supabase-js'
import { describe, expect, inject, test } from 'vitest'
import { codeText } from '../../client/code-text.ts'
import { createReferralClient } from '../../client/index.ts'
import { anonymousOverHttp, type Caller, personOverHttp, sceneOverHttp } from '../support/http.ts'

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
    expect(chosen.data?.code).toBe(`SUMMER-${org.slice(0, 8).toUpperCase()}`)
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

describe('codeText', () => {
  test.for([
    [' 7KQ2-M9XT\n', '7KQ2-M9XT'],
    ['https://go.example.org/link/7KQ2-M9XT', '7KQ2-M9XT'],
    ['https://go.example.org/functions/v1/link/7KQ2-M9XT/?via=qr', '7KQ2-M9XT'],
    ['HTTPS://example.org/welcome?lang=en&ref=7KQ2-M9XT#top', '7KQ2-M9XT'],
    ['https://go.example.org/link/7KQ2%20M9XT', '7KQ2 M9XT'],
    ['https://example.org/about', 'https://example.org/about'],
    ['https://go.example.org/link/%', 'https://go.example.org/link/%'],
    ['https://', 'https://'],
    ['', ''],
  ] as const)('takes %j as %j', ([text, code]) => {
    expect(codeText(text)).toBe(code)
  })
})
