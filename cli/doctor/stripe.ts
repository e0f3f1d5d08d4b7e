import { CliError } from '../cli-error.ts'
import { commandText } from '../command-text.ts'
import { connectStripe } from '../stripe/client.ts'
import { type EndpointReport, ensureEndpoint } from '../stripe/ensure-endpoint.ts'
import { type Examined, isLocal } from './examined.ts'
import { type Line, ok, unchecked, wrong } from './line.ts'

const stripeEndpoint = 'stripe_endpoint'
const mend = commandText.referbase('stripe endpoint')

/** Does an endpoint at Stripe deliver our events, in our API version and in the mode of the webhook? */
export async function checkStripe(
  examined: Examined,
  webhookLive: boolean | undefined,
): Promise<Line[]> {
  const { project, live } = examined
  const { STRIPE_SECRET_KEY: key } = process.env
  if (!key) {
    const remedy =
      'Set STRIPE_SECRET_KEY in the environment. A restricted key with Webhook Endpoints, Read is enough.'
    return [unchecked(stripeEndpoint, 'The endpoint at Stripe is not checked.', remedy)]
  }
  if (isLocal(project.functionsUrl)) {
    const remedy = 'To receive events here: stripe listen --forward-to with its address.'
    return [
      unchecked(stripeEndpoint, 'Stripe does not reach the functions of this machine.', remedy),
    ]
  }
  const url = `${project.functionsUrl}/referbase-stripe-webhook`
  try {
    const stripe = connectStripe(process.env, { timeout: 10_000, maxNetworkRetries: 1 })
    const lines = checkMode(key, live ?? webhookLive)
    for (const connect of await kindsOf(examined)) {
      const wish = { url, connect, replace: false, dryRun: true }
      lines.push(...describe(await ensureEndpoint(stripe, wish), url, connect))
    }
    return lines
  } catch (error) {
    if (!(error instanceof CliError)) throw error
    return [wrong(stripeEndpoint, `The endpoint at Stripe cannot be read. ${error.message}`, mend)]
  }
}

/**
 * Which endpoints are needed: that of connected accounts if an organisation has one (`true`), and that of the platform's own
 * account (`false`) unless all have one.
 */
async function kindsOf({ project, orgId }: Examined): Promise<boolean[]> {
  const organisations = () => {
    const all = project.database.from('organisations').select('id').limit(1)
    return orgId ? all.eq('id', orgId) : all
  }
  const { data: connected } = await organisations().not('stripe_account_id', 'is', null)
  if (!connected?.length) return [false]
  const { data: others } = await organisations().is('stripe_account_id', null)
  return others?.length === 0 ? [true] : [false, true]
}

function checkMode(key: string, wanted: boolean | undefined): Line[] {
  const [, mode] = /^[sr]k_(?:org_)?(live|test)_/.exec(key) ?? []
  if (mode === undefined || wanted === undefined) return []
  const needed = wanted ? 'live' : 'test'
  return mode === needed
    ? [ok('stripe_key', `STRIPE_SECRET_KEY and the webhook are of ${mode} mode.`)]
    : [
        wrong(
          'stripe_key',
          `STRIPE_SECRET_KEY is of ${mode} mode, and payments are of ${needed} mode.`,
          `Take the key of ${needed} mode, and run this again.`,
        ),
      ]
}

function describe(report: EndpointReport, address: string, connect: boolean): Line[] {
  const { action, missing, extra, disabled, twins, older } = report
  const name = connect ? `${stripeEndpoint}_connect` : stripeEndpoint
  const url = connect ? `${address} for connected accounts` : address
  const mending = connect ? `${mend} --connect` : mend
  const lines: Line[] = []
  const versions = older.map(({ api_version }) => api_version ?? 'the account’s').join(', ')
  if (action === 'make')
    lines.push(
      older.length > 0
        ? wrong(name, `The endpoint of ${url} has another API version: ${versions}.`, mending)
        : wrong(name, `No endpoint at Stripe delivers to ${url}.`, mending),
    )
  if (action === 'mend') {
    const faults = [
      disabled && 'is disabled',
      missing.length > 0 && `lacks ${missing.join(', ')}`,
      extra.length > 0 && `has ${extra.join(', ')} too`,
    ]
    lines.push(wrong(name, `The endpoint of ${url} ${faults.filter(Boolean).join('; ')}.`, mending))
  }
  if (action === 'keep')
    lines.push(ok(name, `The endpoint of ${url} has our events and API version.`))
  if (action !== 'make' && older.length > 0)
    lines.push(
      wrong(
        `${name}_versions`,
        `Another endpoint of ${url} has another API version: ${versions}.`,
        `${mending} --replace`,
      ),
    )
  if (twins.length > 0)
    lines.push(
      wrong(
        `${name}_once`,
        `More endpoints of ${url} deliver every event again: ${twins.join(', ')}.`,
        'Delete them at Stripe: developers, webhooks.',
      ),
    )
  return lines
}
