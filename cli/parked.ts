import { Command } from 'commander'
import { applyParked, type Outcome } from './parked/apply.ts'
import { fetchFromStripe } from './parked/fetch.ts'
import { readProject } from './project.ts'
import { connectStripe } from './stripe/client.ts'
import { keyLivemode } from './stripe/key-mode.ts'

/** `referbase parked`: what could not be read when it came. */
export const parked = new Command('parked')
  .description(
    'Applies the parked Stripe events that this version can read, and lists the others. Exits with 1 if any stay parked.',
  )
  .option('--fetch', 'reads the whole events from Stripe, which has them for 30 days')
  .option('--json', 'prints a JSON object for each event, one a line')
  .addHelpText(
    'after',
    '\n--fetch needs STRIPE_SECRET_KEY, of live mode for live events. A restricted key needs the permission Events, Read; for the events of connected accounts too.',
  )
  .action(async (options: { fetch?: boolean; json?: boolean }) => {
    const { database } = readProject()
    const fetchEvent = options.fetch ? fetchFromStripe(connectStripe(), keyLivemode()) : undefined
    const counts = new Map<Outcome['status'], number>()
    for await (const outcome of applyParked(database, fetchEvent)) {
      counts.set(outcome.status, (counts.get(outcome.status) ?? 0) + 1)
      process.stdout.write(options.json ? `${JSON.stringify(outcome)}\n` : lineOf(outcome))
    }
    const of = (status: Outcome['status']) => counts.get(status) ?? 0
    const summary = `${of('applied')} events applied, ${of('duplicate')} resolved meanwhile, ${of('parked')} still parked\n`
    ;(options.json ? process.stderr : process.stdout).write(summary)
    if (of('parked') > 0) process.exitCode = 1
  })

function lineOf({ event_id, type, status, why }: Outcome): string {
  return `${event_id} ${type} ${status === 'parked' ? 'still parked' : status}${why ? `: ${why}` : ''}\n`
}
