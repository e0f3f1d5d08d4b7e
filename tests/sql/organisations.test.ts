import { describe, expect, test } from 'vitest'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator, person, refusal } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

describe('create_organisation', () => {
  test('makes an organisation and its first admin', () =>
    undone(sql, async (tx) => {
      const ada = person(tx)
      const [org] = await operator(tx).rpc('create_organisation', {
        name: 'Ada’s',
        slug: 'ada',
        admin_id: ada.id,
      })
      expect(org).toMatchObject({ name: 'Ada’s', slug: 'ada', active: true, code_length: 8 })
      expect(await ada.run('select role from referral.members')).toEqual([{ role: 'admin' }])
    }))

  test('is for the operator only', () =>
    undone(sql, async (tx) => {
      const call = person(tx).rpc('create_organisation', {
        name: 'X',
        slug: 'x',
        admin_id: crypto.randomUUID(),
      })
      expect(await refusal(call)).toBe('42501')
    }))

  test('refuses a slug that is taken, with organisation_exists', () =>
    undone(sql, async (tx) => {
      const args = { name: 'X', slug: 'x', admin_id: crypto.randomUUID() }
      await operator(tx).rpc('create_organisation', args)
      expect(await refusal(operator(tx).rpc('create_organisation', args))).toBe(
        'organisation_exists',
      )
    }))

  test.for([
    { slug: 'Not A Slug' },
    { slug: '-x' },
    { slug: 'x'.repeat(64) },
    { slug: null },
    { name: '' },
    { name: null },
    { admin_id: null },
  ])('refuses %o with invalid_argument', (wrong) =>
    undone(sql, async (tx) => {
      const args = { name: 'X', slug: 'x', admin_id: crypto.randomUUID(), ...wrong }
      expect(await refusal(operator(tx).rpc('create_organisation', args))).toBe('invalid_argument')
    }),
  )
})

describe('add_member', () => {
  test('adds a member once, however often it is called', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const [again] = await coordinator.rpc('add_member', { org_id: org, user_id: mentor.id })
      expect(again).toMatchObject({ user_id: mentor.id, role: 'member' })
    }))

  test('never changes an existing role', () =>
    undone(sql, async (tx) => {
      const { org, admin, mentor } = await scene(tx)
      const call = { org_id: org, user_id: mentor.id, role: 'admin' }
      expect(await refusal(admin.rpc('add_member', call))).toBe('member_exists')
    }))

  test('lets a coordinator add members, an admin anyone, and a member nobody', () =>
    undone(sql, async (tx) => {
      const { org, admin, coordinator, mentor } = await scene(tx)
      const call = { org_id: org, user_id: crypto.randomUUID(), role: 'coordinator' }
      expect(await refusal(coordinator.rpc('add_member', call))).toBe('not_allowed')
      expect(await refusal(mentor.rpc('add_member', { ...call, role: 'member' }))).toBe(
        'not_allowed',
      )
      expect(await admin.rpc('add_member', call)).toMatchObject([{ role: 'coordinator' }])
    }))

  test('refuses the staff of another organisation with not_a_member', () =>
    undone(sql, async (tx) => {
      const [here, there] = [await scene(tx), await scene(tx)]
      const call = { org_id: here.org, user_id: crypto.randomUUID() }
      expect(await refusal(there.admin.rpc('add_member', call))).toBe('not_a_member')
    }))

  test('refuses a role that does not exist with invalid_argument', () =>
    undone(sql, async (tx) => {
      const { org, admin } = await scene(tx)
      const call = { org_id: org, user_id: crypto.randomUUID(), role: 'owner' }
      expect(await refusal(admin.rpc('add_member', call))).toBe('invalid_argument')
    }))
})

describe('update_organisation', () => {
  test('changes what is named and nothing else', () =>
    undone(sql, async (tx) => {
      const { org, admin } = await scene(tx)
      const changes = { web_destination: 'https://example.org/in', rotation_grace: '1 day' }
      const [row] = await admin.rpc('update_organisation', { org_id: org, changes })
      expect(row).toMatchObject({
        web_destination: 'https://example.org/in',
        rotation_grace: '1 day',
        name: 'Org',
      })
    }))

  test('is for admins', () =>
    undone(sql, async (tx) => {
      const { org, coordinator } = await scene(tx)
      expect(
        await refusal(coordinator.rpc('update_organisation', { org_id: org, changes: {} })),
      ).toBe('not_allowed')
    }))

  test.for([
    'http://example.org',
    'javascript:alert(1)',
    'https://user@example.org',
    'https://example.org\\@evil.example',
    'https://example.org/\nLocation: x',
    'https:///x',
    '//example.org',
    `https://example.org/${'x'.repeat(2048)}`,
    `http://localhost/${'x'.repeat(2048)}`,
    'http://localhost.example.org',
    'http://localhost@example.org',
    'http://localhost:80@example.org',
    'http://user@localhost',
    'http://127.0.0.1.example.org',
    'http://127.0.0.2',
    'http://127.1',
    'http://127a0.0.1',
    'http://[::1]:5173',
    'http://192.168.0.1:5173',
    'http://LOCALHOST',
    'http://localhost:0',
    'http://localhost:65536',
    'http://localhost:',
    'http://localhost\\@example.org',
    'http://localhost/\nLocation: x',
    'HTTP://localhost',
    'ftp://localhost',
  ])('refuses the destination %s with invalid_argument', (web_destination) =>
    undone(sql, async (tx) => {
      const { org, admin } = await scene(tx)
      const call = admin.rpc('update_organisation', { org_id: org, changes: { web_destination } })
      expect(await refusal(call)).toBe('invalid_argument')
    }),
  )

  test.for([
    'http://localhost',
    'http://localhost:5173/welcome?lang=en#top',
    'http://127.0.0.1:65535',
  ])('takes the web destination %s, a server on the developer’s own machine', (page) =>
    undone(sql, async (tx) => {
      const { org, admin } = await scene(tx)
      const set = (changes: object) => admin.rpc('update_organisation', { org_id: org, changes })
      expect(await set({ web_destination: page })).toMatchObject([{ web_destination: page }])
      expect(await refusal(set({ ios_destination: page }))).toBe('invalid_argument')
      expect(await refusal(set({ android_destination: page }))).toBe('invalid_argument')
    }),
  )

  test.for([
    { nam: 'x' },
    { id: crypto.randomUUID() },
    { code_length: 7 },
    { name: null },
    { rotation_grace: 'soon' },
    { active: 'perhaps' },
  ])('refuses %o with invalid_argument', (changes) =>
    undone(sql, async (tx) => {
      const { org, admin } = await scene(tx)
      expect(await refusal(admin.rpc('update_organisation', { org_id: org, changes }))).toBe(
        'invalid_argument',
      )
    }),
  )

  test('leaves the Stripe account to the operator, one organisation each', () =>
    undone(sql, async (tx) => {
      const [here, there] = [await scene(tx), await scene(tx)]
      const changes = { stripe_account_id: 'acct_1' }
      expect(
        await refusal(here.admin.rpc('update_organisation', { org_id: here.org, changes })),
      ).toBe('not_allowed')
      await operator(tx).rpc('update_organisation', { org_id: here.org, changes })
      const taken = operator(tx).rpc('update_organisation', { org_id: there.org, changes })
      expect(await refusal(taken)).toBe('stripe_account_taken')
    }))

  test('fixes the Stripe account once it has payments', () =>
    undone(sql, async (tx) => {
      const { org } = await scene(tx)
      const set = (stripe_account_id: string) =>
        operator(tx).rpc('update_organisation', { org_id: org, changes: { stripe_account_id } })
      await set('acct_1')
      await set('acct_2')
      await ingest(tx, paidInvoice({ account: 'acct_2' }))
      expect(await refusal(set('acct_3'))).toBe('stripe_account_fixed')
    }))

  test('fixes the platform account once a referral is confirmed by it', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx)
      await friend.rpc('redeem_code', { code: (await codeOf(mentor, org)).code })
      await ingest(tx, paidInvoice({ userId: friend.id }))
      const call = { org_id: org, changes: { stripe_account_id: 'acct_1' } }
      expect(await refusal(operator(tx).rpc('update_organisation', call))).toBe(
        'stripe_account_fixed',
      )
    }))
})
