/** health of an organisation: each check once red, by a fault that is made, and once green. */
import { describe, expect, test } from 'vitest'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { anonymous, operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { checkOf, withoutGuards } from '../support/health.ts'
import { ingest } from '../support/ingest.ts'
import { codeOf, type Scene, scene } from '../support/scene.ts'

const sql = await testDatabase()
const terms = { enrolment: 'open', commission: { kind: 'percent', bps: 1000 } }
const soon = () => Math.floor(Date.now() / 1000) + 10

type Told = { tx: Sql; here: Scene; check: () => Promise<Record<string, unknown>> }

/** A scene of its own, and what the admin is told by a check. */
const about = (name: string, work: (told: Told) => Promise<void>) =>
  undone(sql, async (tx) => {
    const here = await scene(tx, terms)
    await work({ tx, here, check: () => checkOf(here.admin, name, { org_id: here.org }) })
  })

const set = ({ tx, here }: Told, changes: object) =>
  operator(tx).rpc('update_organisation', { org_id: here.org, changes })

describe('destinations', () => {
  const store = 'https://play.google.com/store/apps/details'
  const host = { link_origin: 'https://go.example.org', web_destination: 'https://example.org' }
  const fingerprints = { android_fingerprints: [Array(32).fill('AB').join(':')] }
  const ios = { ios_destination: 'https://apps.apple.com/app/id1' }
  const android = { android_destination: `${store}?hl=de&id=com.example.app` }

  test('fails without a web destination, and passes with one', () =>
    about('destinations', async (told) => {
      expect(await told.check()).toMatchObject({
        ...{ ok: false, found: 1n, message: 'web_destination is not set.' },
        remedy: expect.stringMatching(
          /^Run "npx --no-install referbase setup --slug \S+" with --web, /,
        ),
      })
      await set(told, { web_destination: 'https://example.org' })
      expect(await told.check()).toEqual({
        ...{ name: 'destinations', ok: true, found: null, remedy: null },
        message: 'Links lead to https://example.org.',
      })
    }))

  test.for([
    [{ ...host, ...ios }, 'ios_app_ids are not set, so that no link opens the iOS app.'],
    [{ ...host, ...android }, 'android_package is not set, so that no link opens the Android app.'],
    [
      { ...host, android_package: 'com.example.app' },
      'android_fingerprints are not set, so that no link opens the Android app.',
    ],
    [
      { web_destination: 'https://example.org', ...android, android_package: 'com.example.other' },
      'android_destination is not the app of android_package.',
    ],
    [
      { web_destination: 'https://example.org', ...fingerprints },
      'android_fingerprints are set without android_package.',
    ],
    [
      { ...android, ...fingerprints },
      'web_destination is not set; android_fingerprints are set without android_package.',
    ],
  ] as const)('says of %o: %s', ([changes, message]) =>
    about('destinations', async (told) => {
      await set(told, changes)
      expect(await told.check()).toMatchObject({ ok: false, message })
    }),
  )

  test('passes with stores, apps and a link host', () =>
    about('destinations', async (told) => {
      await set(told, { ...host, ...ios, ios_app_ids: ['ABCDE12345.com.example.app'] })
      await set(told, { ...android, android_package: 'com.example.app', ...fingerprints })
      expect(await told.check()).toMatchObject({ ok: true })
      await set(told, { link_origin: null, ios_app_ids: [], android_package: null })
      await set(told, { android_fingerprints: [] })
      expect(await told.check()).toMatchObject({ ok: true })
    }))
})

describe('program', () => {
  test('passes with a default program, and fails while it is switched off', () =>
    about('program', async ({ here, check }) => {
      const message = 'The default program is friends, and is switched on.'
      expect(await check()).toMatchObject({ ok: true, message })
      const off = { program_id: here.program, changes: { active: false } }
      await here.admin.rpc('update_program', off)
      expect(await check()).toMatchObject({
        ...{ ok: false, message: 'The default program, friends, is switched off.' },
        remedy: `In the SQL editor: select referral.update_program('${here.program}', '{"active": true}')`,
      })
    }))

  test('fails while the organisation is switched off', () =>
    about('program', async (told) => {
      await set(told, { active: false })
      expect(await told.check()).toMatchObject({
        ok: false,
        message: 'The organisation is switched off.',
      })
    }))

  test('fails without a default, without terms and without a program', () =>
    about('program', async ({ tx, here, check }) => {
      await tx`update referral.programs set is_default = false where id = ${here.program}`
      expect(await check()).toMatchObject({ ok: false, message: 'No program is the default.' })
      await tx`update referral.programs set is_default = true where id = ${here.program}`
      await withoutGuards(tx, 'referral.program_terms', async () => {
        await tx`delete from referral.program_terms where program_id = ${here.program}`
      })
      const termless = await check()
      expect(termless).toMatchObject({
        ok: false,
        message: 'The default program, friends, has no terms in force.',
      })
      await here.admin.run(String(termless?.remedy).replace('In the SQL editor: ', ''))
      expect(await check()).toMatchObject({
        ok: true,
        message: 'The default program is second, and is switched on.',
      })
      await withoutGuards(tx, 'referral.program_terms', async () => {
        await tx`delete from referral.program_terms`
        await tx`delete from referral.programs`
      })
      expect(await check()).toMatchObject({
        ...{
          ok: false,
          message: 'There is no program.',
          remedy: expect.stringContaining('asks for its terms'),
        },
      })
    }))
})

describe('admin', () => {
  const ofOperator = (tx: Sql, org: string) => checkOf(operator(tx), 'admin', { org_id: org })

  test('passes with active admins, and fails once there is none', () =>
    about('admin', async ({ tx, here, check }) => {
      expect(await check()).toMatchObject({ ok: true, message: 'Active admins: 1.' })
      await tx`update referral.members set deactivated_at = now() where user_id = ${here.admin.id}`
      expect(await ofOperator(tx, here.org)).toMatchObject({
        ...{ ok: false, message: 'There is no active admin.' },
        remedy: expect.stringMatching(/referbase setup --slug \S+ --admin EMAIL/),
      })
    }))

  test('fails if Auth has users, and no admin is one of them', () =>
    about('admin', async ({ tx, here, check }) => {
      await tx`insert into auth.users (id) values (${here.mentor.id})`
      const message = 'No active admin is a user of this project.'
      expect(await check()).toMatchObject({ ok: false, message })
      await tx`insert into auth.users (id) values (${here.admin.id})`
      expect(await check()).toMatchObject({ ok: true })
    }))
})

test('codes fails without an active code, and passes with one', () =>
  about('codes', async ({ tx, here, check }) => {
    expect(await check()).toMatchObject({ ok: false, message: 'There is no code yet.' })
    await codeOf(here.mentor, here.org)
    expect(await check()).toMatchObject({ ok: true, found: 1n, message: 'Active codes: 1.' })
    await tx`set constraints all immediate`
    await tx`update referral.codes set expires_at = now() where org_id = ${here.org}`
    expect(await check()).toMatchObject({ ok: false, found: 0n, message: 'No code is active.' })
    await here.coordinator.rpc('generate_codes', { org_id: here.org, count: 1200 })
    expect(await check()).toMatchObject({ ok: true, message: 'Active codes: 1,000 or more.' })
  }))

test('link_host says how links begin, and is no fault', () =>
  about('link_host', async (told) => {
    expect(await told.check()).toMatchObject({
      ok: true,
      message: 'Links have the address of the project: no link host is set.',
    })
    await set(told, { link_origin: 'https://go.example.org' })
    const message = 'Links begin with https://go.example.org.'
    expect(await told.check()).toMatchObject({ ok: true, message })
  }))

test('stripe_account says whose it is, and is no fault', () =>
  about('stripe_account', async (told) => {
    const message = "The Stripe account is the platform's own"
    expect(await told.check()).toMatchObject({ ok: true, message: `${message}.` })
    const { org } = await scene(told.tx)
    expect(await told.check()).toMatchObject({
      ok: true,
      message: `${message}, which other organisations use, too.`,
    })
    const changes = { stripe_account_id: 'acct_1' }
    await operator(told.tx).rpc('update_organisation', { org_id: org, changes })
    expect(await told.check()).toMatchObject({ ok: true, message: `${message}.` })
    await set(told, { stripe_account_id: 'acct_2' })
    expect(await told.check()).toMatchObject({ ok: true, message: 'The Stripe account is acct_2.' })
  }))

test('pending_past_window takes the window that a redemption was made under', () =>
  about('pending_past_window', async ({ tx, here, check }) => {
    await here.friend.rpc('redeem_code', { code: (await codeOf(here.mentor, here.org)).code })
    const changes = { terms: { conversion_window_days: 1 } }
    await here.admin.rpc('update_program', { program_id: here.program, changes })
    await tx`update referral.redemptions set redeemed_at = now() - interval '80 days'`
    expect(await check()).toMatchObject({ ok: true, found: null })
  }))

test('pending_past_window counts redemptions that the job has left for more than an hour', () =>
  about('pending_past_window', async ({ tx, here, check }) => {
    const { code } = await codeOf(here.mentor, here.org)
    for (const buyer of [here.friend, person(tx)]) await buyer.rpc('redeem_code', { code })
    const age = (interval: string) => tx`
      update referral.redemptions set redeemed_at = now() - interval '90 days' - ${interval}::interval`
    await age('59 minutes')
    expect(await check()).toMatchObject({ ok: true, found: null })
    await age('61 minutes')
    expect(await check()).toMatchObject({
      ...{ ok: false, found: 2n },
      message:
        'Redemptions that are pending for more than an hour after their conversion window: 2.',
    })
    const { org } = await scene(tx)
    expect(await checkOf(operator(tx), 'pending_past_window', { org_id: org })).toMatchObject({
      ok: true,
    })
    await operator(tx).rpc('run_maintenance')
    await operator(tx).rpc('run_maintenance')
    expect(await check()).toMatchObject({ ok: true })
  }))

describe('unattributed', () => {
  const sold = (tx: Sql, more: object) => ingest(tx, paidInvoice({ at: soon(), ...more }))

  test('fails if codes are redeemed and no sale credits anybody, and passes once one does', () =>
    about('unattributed', async ({ tx, here, check }) => {
      expect(await check()).toMatchObject({ ok: true, found: 0n })
      for (const id of ['in_1', 'in_2']) await sold(tx, { id, customer: `cus_${id}` })
      expect(await check()).toMatchObject({ ok: true, found: 2n })
      const { code } = await codeOf(here.mentor, here.org)
      await here.friend.rpc('redeem_code', { code })
      expect(await check()).toMatchObject({
        ...{ ok: false, found: 2n },
        message: 'None of the sales of the last 30 days credits anybody: 2.',
        remedy: 'In the SQL editor, for the reasons: select * from referral.list_unattributed()',
      })
      await sold(tx, { userId: here.friend.id })
      expect(await check()).toMatchObject({
        ...{ ok: true, found: 2n },
        message: 'Sales of the last 30 days that credit nobody: 2; that credit somebody: 1.',
      })
      await tx`update referral_private.sales set paid_at = now() - interval '31 days' where sale_id = 'in_1'`
      expect(await check()).toMatchObject({ found: 1n })
    }))

  test('counts live sales only, unless there is none', () =>
    about('unattributed', async ({ tx, check }) => {
      await sold(tx, { customer: 'cus_test', livemode: false })
      expect(await check()).toMatchObject({ found: 1n })
      for (const id of ['in_1', 'in_2'])
        await sold(tx, { id, customer: `cus_${id}`, livemode: true })
      expect(await check()).toMatchObject({ found: 2n })
    }))

  test('counts of a shared Stripe account only the sales that name the organisation', () =>
    about('unattributed', async ({ tx, here, check }) => {
      const there = await scene(tx, terms)
      await sold(tx, { customer: 'cus_nobody' })
      await sold(tx, { customer: 'cus_there', orgId: there.org })
      expect(await check()).toMatchObject({ found: 0n })
      await sold(tx, { customer: 'cus_here', orgId: here.org })
      expect(await check()).toMatchObject({ found: 1n })
    }))

  test('counts all of an account of its own but those that name another organisation', () =>
    about('unattributed', async (told) => {
      const { tx, check } = told
      await set(told, { stripe_account_id: 'acct_1' })
      const there = await scene(tx, terms)
      await sold(tx, { account: 'acct_1', customer: 'cus_there', orgId: there.org })
      expect(await check()).toMatchObject({ found: 0n })
      await sold(tx, { account: 'acct_1', customer: 'cus_nobody' })
      expect(await check()).toMatchObject({ found: 1n })
    }))
})

test('is for admins of the organisation and the operator', () =>
  undone(sql, async (tx) => {
    const { org, admin, coordinator, mentor, friend } = await scene(tx)
    const asks = (actor: { rpc: typeof admin.rpc }, org_id?: string) =>
      refusal(actor.rpc('health', { ...(org_id && { org_id }) }))
    expect(await asks(coordinator, org)).toBe('not_allowed')
    expect(await asks(mentor, org)).toBe('not_allowed')
    expect(await asks(friend, org)).toBe('not_a_member')
    expect(await asks(anonymous(tx), org)).toBe('42501')
    expect(await asks(admin)).toBe('invalid_argument')
    expect(await asks(operator(tx), crypto.randomUUID())).toBe('organisation_not_found')
    expect(await admin.rpc('health', { org_id: org })).toHaveLength(8)
  }))
