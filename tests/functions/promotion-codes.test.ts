/** What the webhook keeps of what a promotion code belonged to before. */
import { expect, test } from 'vitest'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { promotionCode } from '../fixtures/stripe/promotion-code.ts'
import { reduced } from '../support/ingest.ts'

const keptOf = async (event: ReturnType<typeof promotionCode>, previous?: unknown) => {
  const data = { ...event.data, previous_attributes: previous }
  return (await reduced({ ...event, data } as typeof event)).data as Record<string, unknown>
}

test.for([
  ['a code', { metadata: { referral_code: 'MINT', note: 'private' } }, 'MINT'],
  ['null', { metadata: { referral_code: null } }, null],
  ['empty text', { metadata: { referral_code: '' } }, null],
  ['a text that is no code', { metadata: { referral_code: 'a b' } }, null],
] as const)('%s is kept as a code, or as none', async ([, previous, kept]) => {
  expect(await keptOf(promotionCode(), previous)).toMatchObject({
    previous_attributes: { metadata: { referral_code: kept } },
  })
})

test.for([
  ['nothing', undefined],
  ['other fields', { active: false }],
  ['other metadata', { metadata: { note: 'private' } }],
  ['no metadata', { metadata: null }],
] as const)('%s says nothing', async ([, previous]) => {
  expect(await keptOf(promotionCode(), previous)).not.toHaveProperty('previous_attributes')
})

test('a parked event keeps it, and other events do not', async () => {
  const previous = { metadata: { referral_code: 'MINT' }, description: 'for Olivia' }
  const unknown = { ...promotionCode(), api_version: '2031-01-01.future' }
  expect((await keptOf(unknown, previous)).previous_attributes).toEqual({
    metadata: { referral_code: 'MINT' },
  })
  expect(await keptOf(paidInvoice(), previous)).not.toHaveProperty('previous_attributes')
})
