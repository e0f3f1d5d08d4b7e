/**
 * `npm run parked`: lists the parked Stripe events, and applies the events that this version can read. The project is given
 * by SUPABASE_URL and SUPABASE_SECRET_KEY.
 */

import { CliError, runMain } from '../cli/cli-error.ts'
import { readProject } from '../cli/project.ts'
import { toReferralError } from '../client/platform-errors.ts'
import { connect } from '../functions/_shared/database.ts'
import { reduceEvent } from '../functions/stripe-webhook/event.ts'

await runMain(async () => {
  const { url, key } = readProject()
  const database = connect(url, key)
  let looked = 0
  for (let after_event: string | undefined; ; ) {
    const {
      data: parked,
      error,
      status,
    } = await database.rpc('list_parked_events', {
      max_rows: 1000,
      ...(after_event && { after_event }),
    })
    if (error) {
      const { code, message } = toReferralError(error, status)
      throw new CliError(`The parked events cannot be read: ${code}. ${message}`)
    }
    for (const { event_id, type, reason, event } of parked) {
      const reduced = await reduceEvent(new TextEncoder().encode(JSON.stringify(event)))
      const answer =
        reduced && !reduced.parked
          ? await database.rpc('resolve_parked_event', { event: { ...reduced } as never }).single()
          : null
      const outcome = answer
        ? (answer.data?.status ?? answer.error?.message)
        : `still parked: ${reason}`
      process.stdout.write(`${event_id} ${type} ${outcome}\n`)
    }
    looked += parked.length
    after_event = parked.at(-1)?.event_id ?? undefined
    if (!after_event) break
  }
  process.stdout.write(`${looked} parked events read\n`)
})
