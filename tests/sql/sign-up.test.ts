import { describe, expect, test } from 'vitest'
import { codeText } from '../../client/link-text.ts'
import { linkTexts } from '../fixtures/links.ts'
import { operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

/** What docs/sign-up.md tells an adopter to run. */
const trigger = `
  create trigger note_sign_up_code after insert or update of is_anonymous on auth.users
  for each row execute function referral_private.note_sign_up_code()`

const keyOf = async (text: string) =>
  (await sql`select referral_private.normalise_code(${text}) as key`)[0]?.key
const keyIn = async (text: string) =>
  (
    await sql`select referral_private.normalise_code(referral_private.code_in_text(${text})) as key`
  )[0]?.key

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

  test('is forgotten after a final refusal only, whatever else is raised', () =>
    undone(sql, async (tx) => {
      await tx.unsafe(trigger)
      const codes = await tx`
        select code, referral_private.is_final_refusal(code) as final from referral_private.error_registry()`
      expect(codes.length).toBeGreaterThan(40)
      const forgotten: string[] = []
      for (const { code } of codes) {
        const user = await signUp(tx, { referral_code: 'ABCDEFGH' })
        await tx.unsafe(`
          create or replace function referral_private.redeem_code(
            p_code text, p_click_id uuid default null, p_provenance text default 'typed', p_channel text default null
          )
          returns setof referral.redeemed_code language plpgsql volatile rows 1 security definer
          as $$ begin perform referral_private.raise_error('${code}'); end $$`)
        const said = await user.rpc('redeem_sign_up_code').then(
          () => 'no row',
          (error) => JSON.parse(error.message).code,
        )
        const [claim] =
          await tx`select from referral_private.sign_up_claims where user_id = ${user.id}`
        expect([code, said]).toEqual([code, claim ? code : 'no row'])
        if (!claim) forgotten.push(code)
      }
      expect(forgotten).toEqual(codes.filter(({ final }) => final).map(({ code }) => code))
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
    ['a link', (code: string) => `https://go.example.org/link/${code}?via=sms`],
    ['a link without its scheme', (code: string) => `go.example.org/link/${code}`],
    ['a link with a full stop', (code: string) => `https://go.example.org/link/${code}.`],
    [
      'the address of a web page',
      (code: string) => `https://example.org/welcome?lang=en&ref=${code}#top`,
    ],
    ['a message', (code: string) => `Join me (https://go.example.org/link/${code}), and hurry!`],
    [
      'a long message',
      (code: string) => `${'very '.repeat(1000)}https://go.example.org/link/${code}`,
    ],
    ['a code in quotes', (code: string) => `“${code}”`],
    ['a code with spaces around it', (code: string) => ` ${code}\n`],
  ] as const)('is found in %s', ([, text]) =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      await tx.unsafe(trigger)
      const user = await signUp(tx, { referral_code: text(code) })
      expect(await user.rpc('redeem_sign_up_code')).toMatchObject([{ code }])
    }),
  )

  test('is read as the client reads it, in every text that people paste', async () => {
    const texts = linkTexts.map(({ text }) => text).filter((text) => !/[\0\ud800]/.test(text))
    expect(texts.length).toBeGreaterThan(200)
    for (const text of texts) {
      expect(await keyIn(text), text.slice(0, 200)).toBe(await keyOf(codeText(text)))
    }
  })

  test.for([
    ['with the metadata', { referral_code: 'CODE' }, null],
    ['that was there before', null, { referral_code: 'CODE' }],
    [
      'instead of the first',
      { referral_code: 'https://go.example.org/link/CODE' },
      { referral_code: 'FIRST' },
    ],
  ] as const)('by an anonymous user who becomes permanent is noted, %s', ([, later, first]) =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      const own = (metadata: object | null) =>
        JSON.parse(JSON.stringify(metadata ?? {}).replace('CODE', code))
      await tx.unsafe(trigger)
      const user = person(tx)
      await tx`insert into auth.users (id, is_anonymous, raw_user_meta_data) values (${user.id}, true, ${tx.json(own(first))})`
      await tx`update auth.users set is_anonymous = false, raw_user_meta_data = ${tx.json(own(later ?? first))} where id = ${user.id}`
      expect(await user.rpc('redeem_sign_up_code')).toMatchObject([{ code, status: 'pending' }])
    }),
  )

  test.for([
    ['a permanent user who changes their metadata', false, 'raw_user_meta_data = $2'],
    ['a permanent user who stays one', false, 'is_anonymous = false, raw_user_meta_data = $2'],
    ['an anonymous user who stays one', true, 'is_anonymous = true, raw_user_meta_data = $2'],
    ['a user who becomes anonymous', false, 'is_anonymous = true, raw_user_meta_data = $2'],
  ] as const)('is not noted of %s', ([, before, change]) =>
    undone(sql, async (tx) => {
      await tx.unsafe(trigger)
      const { id } = person(tx)
      await tx`insert into auth.users (id, is_anonymous) values (${id}, ${before})`
      await tx.unsafe(`update auth.users set ${change} where id = $1`, [
        id,
        tx.json({ referral_code: 'ABC' }) as never,
      ])
      expect(await tx`select from referral_private.sign_up_claims`).toHaveLength(0)
    }),
  )

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
    { referral_code: `https://go.example.org/link/${'%'.repeat(5000)}` },
    { referral_code: `https://go.example.org/link/%ff%fe ${'/link/'.repeat(50_000)}` },
    { referral_code: `https://go.example.org/?${'ref=%00&'.repeat(50_000)}` },
    { referral_code: '?ref=' },
    { referral_code: '(('.repeat(50_000) },
    { referral_code: '🎉' },
  ])('can break no sign-up: %.40j', (metadata) =>
    undone(sql, async (tx) => {
      await tx.unsafe(trigger)
      const user = await signUp(tx, metadata)
      expect(await tx`select from auth.users where id = ${user.id}`).toHaveLength(1)
    }),
  )

  test('needs no anonymous users, which older versions of Auth do not have', () =>
    undone(sql, async (tx) => {
      await tx`create temporary table users (id uuid, raw_user_meta_data jsonb)`
      const older = trigger.replace('or update of is_anonymous', '').replace('auth.users', 'users')
      await tx.unsafe(older)
      await tx`insert into users values (gen_random_uuid(), '{"referral_code": "ABC"}')`
      expect(await tx`select code from referral_private.sign_up_claims`).toEqual([{ code: 'ABC' }])
    }))

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
      const link = `Hi! https://go.example.org/link/${code}.`
      expect(await ask(tx, { user_metadata: { referral_code: link } })).toEqual({})
      for (const user of [
        {},
        { user_metadata: { referral_code: null } },
        { user_metadata: null },
        { user_metadata: { referral_code: 'NOBODY' } },
      ]) {
        expect(await ask(tx, user)).toMatchObject({ error: { http_code: 403 } })
      }
    }))
})
