/** Webhook endpoints of the stand-in of Stripe's API: the secret comes once, and no update has an API version. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Hono } from 'hono'
import type Stripe from 'stripe'
import { root } from '../../scripts/stack/root.ts'
import { unique } from '../fixtures/stripe/about.ts'
import { type Env, pageOf, stripeError } from './stripe-answers.ts'
import { nested, type Params } from './stripe-api.ts'

export type Endpoint = Stripe.WebhookEndpoint

/** The words that Stripe takes, from the types of its SDK. */
const types = readFileSync(
  join(root, 'node_modules/stripe/esm/resources/WebhookEndpoints.d.ts'),
  'utf8',
)
const wordsOf = (name: string) =>
  [...(new RegExp(`type ${name} = (.*);`).exec(types)?.[1] ?? '').matchAll(/'([^']+)'/g)].map(
    ([, word]) => word,
  )
const versions = wordsOf('ApiVersion')
const eventTypes = wordsOf('EnabledEvent')

export function endpointResource() {
  const all: Endpoint[] = []
  let made = 0
  /** An endpoint that is there before the test begins. */
  const add = (values: Partial<Endpoint> & { url: string }): Endpoint => {
    made += 1
    const endpoint: Endpoint = {
      id: `we_${unique()}`,
      object: 'webhook_endpoint',
      api_version: null,
      application: null,
      created: 1_700_000_000 + made,
      description: null,
      enabled_events: ['*'],
      livemode: false,
      metadata: {},
      status: 'enabled',
      ...values,
    }
    all.unshift(endpoint)
    return endpoint
  }
  const routes = new Hono<Env>()
  routes.get('/', (c) =>
    pageOf(
      all.filter(({ livemode }) => livemode === c.get('livemode')),
      '/v1/webhook_endpoints',
      c.req.query(),
    ),
  )
  routes.post('/', async (c) => {
    const params = nested(await c.req.text())
    const refused = refusal(params, [...changeable, 'api_version', 'connect'])
    if (refused) return refused
    const {
      url,
      api_version = null,
      connect,
      description = null,
    } = params as Record<string, string>
    const endpoint = add({
      url: String(url),
      api_version,
      description,
      enabled_events: eventsIn(params),
      application: connect === 'true' ? 'ca_1' : null,
      livemode: c.get('livemode'),
    })
    return c.json({
      ...endpoint,
      secret: `whsec_${randomBytes(24).toString('base64url').replaceAll(/[-_]/g, 'x')}`,
    })
  })
  routes.post('/:id', async (c) => {
    const endpoint = all.find(({ id }) => id === c.req.param('id'))
    if (!endpoint) return missing(c.req.param('id'))
    const params = nested(await c.req.text())
    const refused = refusal(params, changeable)
    if (refused) return refused
    if (params.enabled_events) endpoint.enabled_events = eventsIn(params)
    if (params.disabled) endpoint.status = params.disabled === 'true' ? 'disabled' : 'enabled'
    if (typeof params.url === 'string') endpoint.url = params.url
    return c.json(endpoint)
  })
  routes.delete('/:id', (c) => {
    const place = all.findIndex(({ id }) => id === c.req.param('id'))
    if (place < 0) return missing(c.req.param('id'))
    all.splice(place, 1)
    return c.json({ id: c.req.param('id'), object: 'webhook_endpoint', deleted: true })
  })
  return { all, add, routes }
}

const changeable = ['url', 'enabled_events', 'disabled', 'description', 'metadata']

const eventsIn = ({ enabled_events }: Params) => Object.values(enabled_events ?? {}) as string[]

function missing(id: string): Response {
  return stripeError(404, {
    code: 'resource_missing',
    message: `No such webhook endpoint: '${id}'`,
    param: 'webhook_endpoint',
  })
}

/** What Stripe says of parameters that it does not take. */
function refusal(params: Params, known: string[]): Response | null {
  const unknown = Object.keys(params).find((name) => !known.includes(name))
  if (unknown)
    return stripeError(400, {
      code: 'parameter_unknown',
      message: `Received unknown parameter: ${unknown}`,
      param: unknown,
    })
  if (params.url !== undefined && !/^https:\/\/[^/]+\.[^/]+/.test(String(params.url)))
    return stripeError(400, {
      code: 'url_invalid',
      message: 'Invalid URL: URL must be publicly accessible.',
      param: 'url',
    })
  const version = params.api_version
  if (version !== undefined && !versions.includes(String(version)))
    return stripeError(400, { message: `Invalid API version: ${version}`, param: 'api_version' })
  const wrong = eventsIn(params).find((type) => !eventTypes.includes(type))
  if (wrong)
    return stripeError(400, {
      message: `Invalid enabled_events: ${wrong}`,
      param: 'enabled_events[0]',
    })
  return null
}
