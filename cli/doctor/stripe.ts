import { CliError } from '../cli-error.ts'
import { commandText } from '../command-text.ts'
import { connectStripe } from '../stripe/client.ts'
import { type EndpointReport, ensureEndpoint } from '../stripe/ensure-endpoint.ts'
import { type Examined, isLocal } from './examined.ts'
import { type Line, ok, unchecked, wrong } from './line.ts'

const name = 'stripe_endpoint'
const mend = commandText.referbase('stripe endpoint')

/** Does an endpoint at Stripe deliver our events, in our API version and in the mode of the webhook? */
export async function checkStripe(
  { project, live }: Examined,
  webhookLive: boolean | undefined,
): Promise<Line[]> {
  const { STRIPE_SECRET_KEY: key } = process.env
  if (!key) {
    const remedy =
      'Set STRIPE_SECRET_KEY in the environment. A restricted key with Webhook Endpoints, Read is enough.'
    return [unchecked(name, 'The endpoint at Stripe is not checked.', remedy)]
  }
  if (isLocal(project.functionsUrl)) {
    const remedy = 'To receive events here: stripe listen --forward-to with its address.'
    return [unchecked(name, 'Stripe does not reach the functions of this machine.', remedy)]
  }
  const url = `${project.functionsUrl}/referbase-stripe-webhook`
  try {
    const stripe = connectStripe(process.env, { timeout: 10_000, maxNetworkRetries: 1 })
    const wish = { url, connect: false, replace: false, dryRun: true }
    const report = await ensureEndpoint(stripe, wish)
    return [...checkMode(key, live ?? webhookLive), ...describe(report, url)]
  } catch (error) {
    if (!(error instanceof CliError)) throw error
    return [wrong(name, `The endpoint at Stripe cannot be read. ${error.message}`, mend)]
  }
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

function describe({ action, missing, extra, disabled, twins, older }: EndpointReport, url: string) {
  const lines: Line[] = []
  const versions = older.map(({ api_version }) => api_version ?? 'the account’s').join(', ')
  if (action === 'make')
    lines.push(
      older.length > 0
        ? wrong(name, `The endpoint of ${url} has another API version: ${versions}.`, mend)
        : wrong(name, `No endpoint at Stripe delivers to ${url}.`, mend),
    )
  if (action === 'mend') {
    const faults = [
      disabled && 'is disabled',
      missing.length > 0 && `lacks ${missing.join(', ')}`,
      extra.length > 0 && `has ${extra.join(', ')} too`,
    ]
    lines.push(wrong(name, `The endpoint of ${url} ${faults.filter(Boolean).join('; ')}.`, mend))
  }
  if (action === 'keep')
    lines.push(ok(name, `The endpoint of ${url} has our events and API version.`))
  if (action !== 'make' && older.length > 0)
    lines.push(
      wrong(
        'stripe_endpoint_versions',
        `Another endpoint of ${url} has another API version: ${versions}.`,
        `${mend} --replace`,
      ),
    )
  if (twins.length > 0)
    lines.push(
      wrong(
        'stripe_endpoint_once',
        `More endpoints of ${url} deliver every event again: ${twins.join(', ')}.`,
        'Delete them at Stripe: developers, webhooks.',
      ),
    )
  return lines
}
