/**
 * `npm run parked`: lists the Stripe events that could not be read when they came, and applies those that this version can
 * read. The project is named by SUPABASE_URL and SUPABASE_SECRET_KEY.
 */
import { connect } from '../functions/_shared/database.ts'
import { reduceEvent } from '../functions/stripe-webhook/event.ts'
import { runMain, Sentence } from './stack/sentence.ts'

await runMain(async () => {
  const { SUPABASE_URL: url, SUPABASE_SECRET_KEY: key } = process.env
  if (!url || !key) throw new Sentence('Set SUPABASE_URL and SUPABASE_SECRET_KEY.')
  const database = connect(url, key)
  const { data: parked, error } = await database.rpc('list_parked_events', { max_rows: 1000 })
  if (error) throw new Sentence(`The parked events cannot be read: ${error.message}`)
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
  process.stdout.write(`${parked.length} parked events looked at\n`)
})
