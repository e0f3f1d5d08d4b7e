/** `referbase doctor` of the webhook endpoint at Stripe. */
import { describe, expect, test } from 'vitest'
import { wantedApiVersion, wantedEvents } from '../../cli/stripe/wanted-endpoint.ts'
import { asItIs, installation } from '../support/doctor.ts'
import { startStripeStandIn } from '../support/stripe-stand-in.ts'

const { sql, orgId, project, examineAltered } = await installation()

describe('the endpoint at Stripe', () => {
  const url = `${project.url}/functions/v1/referbase-stripe-webhook`
  const right = { url, api_version: wantedApiVersion, enabled_events: [...wantedEvents] }

  test('is missing, lacks events, has another version, is there twice, or is right', async () => {
    const { endpoints, environment } = await startStripeStandIn()
    const lines = async () => {
      const { checked } = await examineAltered(asItIs, environment)
      const { stripe_endpoint, stripe_endpoint_versions, stripe_endpoint_once } = checked
      return [stripe_endpoint, stripe_endpoint_versions, stripe_endpoint_once].map(
        (line) => line && [line.state, line.remedy],
      )
    }
    const mend = 'npx --no-install referbase stripe endpoint'
    expect(await lines()).toEqual([['wrong', mend], undefined, undefined])
    const endpoint = endpoints.add({ ...right, enabled_events: ['invoice.paid', 'charge.failed'] })
    expect(await lines()).toEqual([['wrong', mend], undefined, undefined])
    endpoint.enabled_events = right.enabled_events
    expect(await lines()).toEqual([['ok', null], undefined, undefined])
    endpoints.add({ ...right, api_version: '2024-06-20' })
    endpoints.add(right)
    expect(await lines()).toEqual([
      ['ok', null],
      ['wrong', `${mend} --replace`],
      ['wrong', expect.stringContaining('Delete them')],
    ])
  })

  test('of connected accounts is needed where an organisation has one, and it alone where all have', async () => {
    const { endpoints, environment } = await startStripeStandIn()
    const statesOf = async () => {
      const { checked } = await examineAltered(asItIs, environment)
      return [checked.stripe_endpoint?.state, checked.stripe_endpoint_connect?.state]
    }
    endpoints.add({ ...right, application: 'ca_1' })
    expect(await statesOf()).toEqual(['wrong', undefined])
    const account = async (stripe_account_id: string | null) =>
      sql`update referral.organisations set ${sql({ stripe_account_id })} where id = ${orgId}`
    await account('acct_1')
    expect(await statesOf()).toEqual([undefined, 'ok'])
    await sql`select referral.create_organisation('Other', 'other', ${crypto.randomUUID()})`
    expect(await statesOf()).toEqual(['wrong', 'ok'])
    endpoints.all.length = 0
    const { checked } = await examineAltered(asItIs, environment)
    expect(checked.stripe_endpoint_connect?.remedy).toMatch(/endpoint --connect$/)
    await account(null)
  })

  test('cannot be read by a key that Stripe refuses, or is of the other mode', async () => {
    const standIn = await startStripeStandIn()
    standIn.endpoints.add(right)
    const live = { ...standIn.environment, STRIPE_SECRET_KEY: 'sk_live_0123456789' }
    expect((await examineAltered(asItIs, live)).checked.stripe_key?.state).toBe('wrong')
    standIn.fail({ times: 9, with: 401 })
    const { checked } = await examineAltered(asItIs, standIn.environment)
    expect(checked.stripe_endpoint?.message).toContain('Stripe refuses STRIPE_SECRET_KEY')
    expect(JSON.stringify(checked)).not.toContain('0123456789')
  })
})
