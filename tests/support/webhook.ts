/** The function `referbase-stripe-webhook`: signed deliveries, and the deployed file in a Deno of its own. */
import { createHmac } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Stripe from 'stripe'
import { inject } from 'vitest'
import { startFunctions } from '../../scripts/stack/functions.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { until } from './processes.ts'

type Body = string | Uint8Array<ArrayBuffer>

/** Stripe's signature of a body, by the stack's secret unless another is given. */
export async function signatureOf(
  payload: Body,
  secret: string = inject('stack').STRIPE_WEBHOOK_SECRET,
): Promise<string> {
  if (typeof payload === 'string')
    return Stripe.webhooks.generateTestHeaderStringAsync({ payload, secret })
  // The SDK signs text only.
  const timestamp = Math.floor(Date.now() / 1000)
  const hmac = createHmac('sha256', secret).update(`${timestamp}.`).update(payload)
  return `t=${timestamp},v1=${hmac.digest('hex')}`
}

/** Posts a body that Stripe signed. */
export async function deliverBody(
  url: string,
  body: Body,
  { signature, headers = {} }: { signature?: string; headers?: Record<string, string> } = {},
) {
  const response = await fetch(url, {
    method: 'POST',
    body,
    headers: { 'stripe-signature': signature ?? (await signatureOf(body)), ...headers },
  })
  const answer = JSON.parse(await response.text())
  return { http: response.status, status: answer.status, code: answer.code }
}

/**
 * Starts the deployed file on the stack, or one of `files`. `log` is what it has written so far, `logOf` what it writes of
 * something.
 */
export async function startWebhook(
  environment: Record<string, string> = {},
  files?: ReadonlyMap<string, string>,
) {
  const stack = inject('stack')
  const home = mkdtempSync(join(tmpdir(), 'referbase-webhook-'))
  const remove = () => rmSync(home, { recursive: true, force: true })
  try {
    const functions = await startFunctions({
      home,
      apiPort: Number(new URL(stack.SUPABASE_URL).port),
      names: ['referbase-stripe-webhook'],
      ...(files && { files }),
      environment: {
        SUPABASE_URL: stack.SUPABASE_URL,
        SUPABASE_SECRET_KEY: stack.SUPABASE_SECRET_KEY,
        STRIPE_WEBHOOK_SECRET: stack.STRIPE_WEBHOOK_SECRET,
        STRIPE_LIVEMODE: 'false',
        ...environment,
      },
    })
    const stop = async () => {
      await functions.stop()
      remove()
    }
    const port = functions.port('referbase-stripe-webhook') ?? 0
    const log = () => readFileSync(join(home, 'referbase-stripe-webhook.log'), 'utf8')
    const url = `http://127.0.0.1:${port}/referbase-stripe-webhook`
    const logOf = async (work: () => Promise<unknown>) => {
      const before = log().length
      await work()
      // The log comes after the answer. Once it names this event, it has all that came before.
      const last = { ...paidInvoice(), api_version: '2031-01-01.last' }
      await deliverBody(url, JSON.stringify(last))
      await until(() => log().includes(last.id))
      return log()
        .slice(before)
        .replace(new RegExp(`parked ${last.id}.*\\n`), '')
    }
    return { url, port, log, logOf, stop }
  } catch (error) {
    remove()
    throw error
  }
}
