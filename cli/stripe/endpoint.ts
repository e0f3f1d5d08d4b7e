import { Command } from 'commander'
import { connectStripe } from './client.ts'
import { describeEndpoint } from './describe-endpoint.ts'
import { endpointAddress } from './endpoint-address.ts'
import { ensureEndpoint } from './ensure-endpoint.ts'
import { wantedApiVersion } from './wanted-endpoint.ts'

type Options = {
  url?: string
  connect?: boolean
  replace?: boolean
  dryRun?: boolean
  json?: boolean
}

/** `referbase stripe endpoint`: only its standard output holds the signing secret. */
export const endpointCommand = new Command('endpoint')
  .description(
    'Makes the webhook endpoint at Stripe, with the events and the API version that referbase reads, and prints its signing secret once. Mends the endpoint if there is one.',
  )
  .option(
    '--url <url>',
    'the address of the function (default: from FUNCTIONS_URL or SUPABASE_URL)',
  )
  .option('--connect', 'for the events of connected accounts')
  .option('--replace', 'deletes the endpoints of this address that have another API version')
  .option('--dry-run', 'says what it would do, and changes nothing')
  .option('--json', 'prints one JSON object')
  .addHelpText(
    'after',
    '\nSTRIPE_SECRET_KEY in the environment decides between live mode and test mode. A restricted key needs the permission Webhook Endpoints, Write.',
  )
  .action(async ({ connect = false, replace = false, dryRun = false, ...options }: Options) => {
    const url = endpointAddress(options.url, process.env)
    const report = await ensureEndpoint(connectStripe(), { url, connect, replace, dryRun })
    const { error, ...done } = report
    const shown = options.json
      ? JSON.stringify({ url, api_version: wantedApiVersion, connect, dry_run: dryRun, ...done })
      : describeEndpoint(report, { url, connect, dryRun })
    process.stdout.write(`${shown}\n`)
    if (error) throw error
  })
