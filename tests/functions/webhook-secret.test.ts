/** The signing secret that the deployed function starts with, and what it says of others. */
import { describe, expect, inject, test } from 'vitest'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { deliverBody, signatureOf, startWebhook } from '../support/webhook.ts'

const good = 'whsec_5WbX5kEWLlfzsGNjH64I0lOOqUB6e8FH'
const whatToDo =
  'STRIPE_WEBHOOK_SECRET (copy the signing secret of your endpoint from Stripe: whsec_ and at least 24 letters and digits, no placeholder)'

const start = (STRIPE_WEBHOOK_SECRET: string) => startWebhook({ STRIPE_WEBHOOK_SECRET })
/** The reason why it does not start. */
const refusal = (secret: string) =>
  start(secret).then(
    ({ stop }) => stop().then(() => 'started'),
    (error: Error) => error.message,
  )

describe('the function starts with', () => {
  test.for([
    ['a secret of the dashboard', good],
    ['one of the command line', `whsec_${'0123456789abcdef'.repeat(4)}`],
    ['one of 24 letters and digits', good.slice(0, 'whsec_'.length + 24)],
    ['one in base64', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw+/8='],
    ['spaces around it', `  ${good} `],
    ['two, with a comma between them', `${good}, whsec_${inject('stack').JWT_SECRET}`],
  ] as const)('%s, and takes what it signed', async ([, secret]) => {
    const { url, stop } = await start(secret)
    const body = JSON.stringify(paidInvoice())
    for (const each of secret.split(',')) {
      const signature = await signatureOf(body, each.trim())
      expect(await deliverBody(url, body, { signature })).toMatchObject({ http: 200 })
    }
    await stop()
  })
})

test('the function does not start with the publishable key as its secret key', async () => {
  const { SUPABASE_PUBLISHABLE_KEY: key } = inject('stack')
  const anon = `eyJ.${btoa(JSON.stringify({ role: 'anon' }))}.x`
  const environments: Record<string, string>[] = [
    { SUPABASE_SECRET_KEY: key },
    { SUPABASE_SECRET_KEY: anon },
    { SUPABASE_SECRET_KEYS: JSON.stringify({ default: key }) },
  ]
  for (const environment of environments)
    await expect(startWebhook(environment)).rejects.toThrow(
      /SUPABASE_SECRET_KEYS? \(the secret key, sb_secret_…, not the publishable key\)/,
    )
})

describe('the function does not start, and says what to do, with', () => {
  test.for([
    ['the placeholder of the documents', 'whsec_…'],
    ['the placeholder with three dots', 'whsec_...'],
    ['the prefix alone', 'whsec_'],
    ['whsec_xxx', 'whsec_xxx'],
    ['a long row of x', `whsec_${'x'.repeat(32)}`],
    ['a long row of two signs', `whsec_${'xX'.repeat(16)}`],
    ['stars', `whsec_${'*'.repeat(32)}`],
    ['a sentence', 'whsec_your_webhook_signing_secret_goes_here'],
    ['a name in brackets', 'whsec_<your-webhook-signing-secret-here>'],
    ['one that is too short', good.slice(0, 'whsec_'.length + 23)],
    ['no prefix', good.replace('whsec_', '')],
    ['a secret key', 'sk_test_5WbX5kEWLlfzsGNjH64I0lOOqUB6e8FH'],
    ['quotes around it', `"${good}"`],
    ['a line in it', `${good.slice(0, 20)}\n${good.slice(20)}`],
    ['nothing', ''],
    ['a comma too many', `${good},`],
    ['a placeholder beside a good one', `${good},whsec_…`],
  ] as const)('%s', async ([, secret]) => {
    const message = await refusal(secret)
    expect(message).toContain(whatToDo)
    if (secret.length > 8) expect(message).not.toContain(secret)
  })
})
