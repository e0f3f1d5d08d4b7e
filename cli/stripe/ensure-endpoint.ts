import type Stripe from 'stripe'
import { explained, patiently } from './requests.ts'
import { wantedApiVersion, wantedEvents } from './wanted-endpoint.ts'

export type EndpointWish = {
  url: string
  /** For the events of connected accounts, instead of those of the account itself. */
  connect: boolean
  /** Deletes the endpoints of this URL that have another API version. */
  replace: boolean
  /** Changes nothing at Stripe. */
  dryRun: boolean
}

/** What was done, or would be in a dry run. */
export type EndpointReport = {
  action: 'make' | 'mend' | 'keep'
  /** Null in a dry run that would make one. */
  endpoint: string | null
  livemode: boolean | null
  /** The signing secret of an endpoint that was made. Stripe returns it this once. */
  secret: string | null
  /** The event types that the endpoint did not have, and those that it had and should not. */
  missing: string[]
  extra: string[]
  /** It was disabled. */
  disabled: boolean
  /** More endpoints of this URL and this API version: each delivers every event again. */
  twins: string[]
  /** The endpoints of this URL with another API version. */
  older: { endpoint: string; api_version: string | null; deleted: boolean }[]
  /** The error of what was left undone after the endpoint was made. */
  error: unknown
}

const permission = 'Webhook Endpoints, Write'

/** Makes the webhook endpoint of a URL at Stripe, or mends it. Stripe changes an endpoint's events, never its API version. */
export async function ensureEndpoint(stripe: Stripe, wish: EndpointWish): Promise<EndpointReport> {
  try {
    const all = await endpointsOf(stripe, wish)
    const [current, ...twins] = all.filter(({ api_version }) => api_version === wantedApiVersion)
    const older = all
      .filter(({ api_version }) => api_version !== wantedApiVersion)
      .map(({ id: endpoint, api_version }) => ({ endpoint, api_version, deleted: false }))
    const kept = { twins: twins.map(({ id }) => id), older, error: null }
    const report = current
      ? { ...(await mend(stripe, current, wish)), ...kept }
      : { ...(await make(stripe, wish)), ...kept }
    // The secret of a new endpoint must not be lost where the rest fails.
    if (wish.replace) await deleteOlder(stripe, report, wish)
    return report
  } catch (error) {
    throw explained(error, permission)
  }
}

/** The endpoints of this URL and kind, those that are enabled first, and then the newest. */
async function endpointsOf(
  stripe: Stripe,
  { url, connect }: EndpointWish,
): Promise<Stripe.WebhookEndpoint[]> {
  const found: Stripe.WebhookEndpoint[] = []
  for (let after: string | undefined; ; ) {
    const page = await patiently(() =>
      stripe.webhookEndpoints.list({ limit: 100, ...(after && { starting_after: after }) }),
    )
    // Only an endpoint of Connect has an application.
    for (const endpoint of page.data)
      if (sameUrl(endpoint.url, url) && (endpoint.application !== null) === connect)
        found.push(endpoint)
    after = page.data.at(-1)?.id
    if (!page.has_more || !after) break
  }
  const isOff = ({ status }: Stripe.WebhookEndpoint) => Number(status !== 'enabled')
  return found.sort((a, b) => isOff(a) - isOff(b) || b.created - a.created)
}

const sameUrl = (a: string, b: string) => URL.canParse(a) && new URL(a).href === new URL(b).href

async function make(stripe: Stripe, { url, connect, dryRun }: EndpointWish) {
  const nothing = { missing: [], extra: [], disabled: false }
  if (dryRun)
    return { action: 'make' as const, endpoint: null, livemode: null, secret: null, ...nothing }
  const wanted: Stripe.WebhookEndpointCreateParams = {
    url,
    connect,
    enabled_events: [...wantedEvents] as Stripe.WebhookEndpointCreateParams.EnabledEvent[],
    api_version: wantedApiVersion as Stripe.WebhookEndpointCreateParams.ApiVersion,
    description: 'referbase',
  }
  const made = await patiently(() => stripe.webhookEndpoints.create(wanted))
  const { id: endpoint, livemode, secret = null } = made
  return { action: 'make' as const, endpoint, livemode, secret, ...nothing }
}

async function mend(stripe: Stripe, current: Stripe.WebhookEndpoint, { dryRun }: EndpointWish) {
  const { id: endpoint, livemode, enabled_events: events } = current
  const missing = wantedEvents.filter((type) => !events.includes(type))
  const extra = events.filter((type) => !wantedEvents.includes(type))
  const disabled = current.status !== 'enabled'
  const isRight = missing.length === 0 && extra.length === 0 && !disabled
  const enabled_events = [...wantedEvents] as Stripe.WebhookEndpointUpdateParams.EnabledEvent[]
  if (!isRight && !dryRun)
    await patiently(() =>
      stripe.webhookEndpoints.update(endpoint, { enabled_events, disabled: false }),
    )
  const action = isRight ? ('keep' as const) : ('mend' as const)
  return { action, endpoint, livemode, secret: null, missing, extra, disabled }
}

async function deleteOlder(
  stripe: Stripe,
  report: EndpointReport,
  { dryRun }: EndpointWish,
): Promise<void> {
  try {
    for (const old of report.older) {
      if (!dryRun) await patiently(() => stripe.webhookEndpoints.del(old.endpoint))
      old.deleted = true
    }
  } catch (error) {
    report.error = explained(error, permission)
  }
}
