/** New codes whose text purchases carry already: refused to staff, drawn again, and settled by the operator's import. */
import { describe, expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { createdDiscount, promotionCode } from '../fixtures/stripe/promotion-code.ts'
import { type Actor, operator, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { checkLedger } from '../support/ledger.ts'
import { codeOf, type Scene, scene } from '../support/scene.ts'

const sql = await testDatabase()
const day = 86_400
const now = Math.floor(Date.now() / 1000)
const terms = { commission: { kind: 'percent', bps: 1000 }, enrolment: 'open', hold_days: 0 }

/** Somebody's purchase, which carries a text in its metadata unless said otherwise. */
const carried = (tx: Sql, code: string, at: number, about: object = {}) =>
  ingest(tx, completedSession({ customer: 'cus_1', code, at, ...about }))

type Choose = (people: Scene, code: string, by?: Actor) => Promise<unknown>

const createCode: Choose = ({ org, mentor, coordinator }, code, by = coordinator) =>
  by.rpc('create_code', { org_id: org, referrer_id: mentor.id, code })

/** Every way in which staff choose a text, by a coordinator unless said otherwise. */
const choosing: [string, Choose][] = [
  ['create_code', createCode],
  [
    'create_campaign_code',
    ({ org, coordinator }, code, by = coordinator) =>
      by.rpc('create_campaign_code', { org_id: org, code }),
  ],
  [
    'rotate_code',
    async ({ org, mentor, coordinator }, code, by = coordinator) => {
      await mentor.rpc('get_or_create_code', { org_id: org })
      return by.rpc('rotate_code', { org_id: org, referrer_id: mentor.id, code })
    },
  ],
]

describe('a chosen text that a purchase carries', () => {
  test.for(choosing)('is taken in %s for 400 days', ([, choose]) =>
    undone(sql, async (tx) => {
      const people = await scene(tx, terms)
      await carried(tx, 'OLD-1', now - 401 * day)
      await carried(tx, 'NEW-1', now - 399 * day)
      expect(await refusal(choose(people, 'new l'))).toBe('code_taken')
      expect(await refusal(choose(people, 'NEW-1', operator(tx)))).toBe('code_taken')
      expect(await choose(people, 'OLD-1')).toMatchObject([{ code: 'OLD-1' }])
    }),
  )

  test.for([
    ['a link', { code: undefined, reference: 'TEXT-1' }],
    ['a purchase dated ahead', { at: now + 9 * day }],
    ['live mode', { livemode: true }],
    ['another Stripe account', { account: 'acct_1' }],
  ] as const)('is taken by %s', ([, about]) =>
    undone(sql, async (tx) => {
      const people = await scene(tx, terms)
      await carried(tx, 'TEXT-1', now, about)
      expect(await refusal(createCode(people, 'TEXT-1'))).toBe('code_taken')
    }),
  )

  test('is taken by a promotion code, once a purchase used that', () =>
    undone(sql, async (tx) => {
      const { org, coordinator } = await scene(tx, terms)
      const choose = (code: string) =>
        coordinator.rpc('create_campaign_code', { org_id: org, code })
      for (const [id, code] of [
        ['promo_1', 'USED'],
        ['promo_2', 'LONG-AGO'],
        ['promo_3', 'UNUSED'],
      ] as const)
        await ingest(tx, promotionCode({ id, code, at: now - 500 * day }))
      await ingest(tx, createdDiscount({ promotionCode: 'promo_1', customer: 'cus_1', at: now }))
      const at = now - 401 * day
      await ingest(tx, createdDiscount({ promotionCode: 'promo_2', customer: 'cus_1', at }))
      expect(await refusal(choose('USED'))).toBe('code_taken')
      for (const code of ['LONG-AGO', 'UNUSED', 'OTHER']) expect(await choose(code)).toHaveLength(1)
    }))
})

describe('import_codes of a text that a purchase carries', () => {
  const rows = [{ code: 'FREE-1' }, { code: 'text l' }]

  test('is refused to staff, by the number of its row', () =>
    undone(sql, async (tx) => {
      const { org, admin } = await scene(tx, terms)
      await carried(tx, 'TEXT-1', now - 399 * day)
      const faults = [{ column: 'code', code: 'code_taken', details: null }]
      expect(await admin.rpc('import_codes', { org_id: org, rows })).toEqual([
        { batch_id: null, made: 0, rows: [{ row: 2, code: 'text l', faults }] },
      ])
      await tx`update referral_private.payer_evidence set carried_at = carried_at - interval '48 hours'`
      expect(await admin.rpc('import_codes', { org_id: org, rows })).toMatchObject([{ made: 2 }])
    }))

  /** A purchase dated ahead, which carries the mentor's code in its link, and something else. */
  async function earning(
    tx: Sql,
    about: { code?: string; promotionCode?: string; livemode?: boolean },
  ) {
    const people = await scene(tx, terms)
    const { code: reference } = await codeOf(people.mentor, people.org)
    const purchase = { customer: 'cus_1', at: now + 100, livemode: about.livemode ?? false }
    await ingest(tx, completedSession({ ...purchase, ...about, reference }))
    await ingest(tx, paidInvoice(purchase))
    const earned = async () => {
      await checkLedger(tx)
      const [row] = await people.mentor.rpc('my_earnings', { org_id: people.org })
      return Number(row?.pending ?? 0) + Number(row?.available ?? 0)
    }
    return { ...people, earned }
  }

  test('by the operator is made, and its purchases are settled at once', () =>
    undone(sql, async (tx) => {
      const { org, earned } = await earning(tx, { code: 'TEXT-1' })
      expect(await earned()).toBe(100)
      const made = await operator(tx).rpc('import_codes', { org_id: org, rows })
      expect(made).toMatchObject([{ made: 2 }])
      // The metadata of a purchase counts before its link, and the imported code earns for nobody.
      expect(await earned()).toBe(0)
    }))

  test('by the operator settles what carries a promotion code of this text, in test and live mode', () =>
    undone(sql, async (tx) => {
      const live = { livemode: true }
      await ingest(tx, promotionCode({ id: 'promo_1', code: 'TEXT-1', at: now, ...live }))
      const { org, earned } = await earning(tx, { promotionCode: 'promo_1', ...live })
      expect(await earned()).toBe(100)
      await operator(tx).rpc('import_codes', { org_id: org, rows })
      expect(await earned()).toBe(0)
    }))

  test('by the operator earns for the beneficiary, where it has one', () =>
    undone(sql, async (tx) => {
      const { org, coordinator } = await earning(tx, { code: 'TEXT-1' })
      await tx.unsafe(`
        create function public.benefit() returns trigger language plpgsql as $$
        begin
          new.beneficiary_id := '${coordinator.id}';
          return new;
        end $$;
        create trigger benefit before insert on referral.codes for each row execute function public.benefit()`)
      await operator(tx).rpc('import_codes', { org_id: org, rows })
      await checkLedger(tx)
      expect(await coordinator.rpc('my_earnings', { org_id: org })).toMatchObject([
        { currency: 'usd', pending: 100n },
      ])
    }))
})

describe('a drawn text that a purchase carries', () => {
  /** Draws these texts, in this order. */
  const drawing = (tx: Sql, texts: string[]) =>
    tx.unsafe(`
      create sequence public.draws;
      create or replace function referral_private.draw_code(p_length int) returns text language sql volatile
      set search_path = pg_catalog, pg_temp
      as $$ select ('{${texts.join(',')}}'::text[])[nextval('public.draws')] $$`)

  test('is drawn again', () =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator } = await scene(tx, terms)
      await carried(tx, 'USED-USED', now - 399 * day)
      await drawing(tx, ['USED-USED', 'FREE-0001', 'FREE-0002', 'USED-USED', 'FREE-0003'])
      expect((await codeOf(mentor, org)).code).toBe('FREE-0001')
      await coordinator.rpc('generate_codes', { org_id: org, count: 2 })
      const made =
        await tx`select code from referral.codes where batch_id is not null order by code`
      expect(made).toEqual([{ code: 'FREE-0002' }, { code: 'FREE-0003' }])
    }))
})
