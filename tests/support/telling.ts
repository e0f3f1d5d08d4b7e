/** What the oracle says of a world that was told by hand. */
import { id, type Telling, toldWorld } from '../fixtures/told/told.ts'
import { oracle, type Verdict } from '../oracle/oracle.ts'
import type { StripeEvent } from '../oracle/world.ts'
import { reduced } from './ingest.ts'

/** Its events as the webhook makes them. */
export const reducedEvents = ({ events }: Telling): Promise<StripeEvent[]> =>
  Promise.all(events.map(async (event) => (await reduced(event)) as unknown as StripeEvent))

export const verdictOn = async (telling: Telling): Promise<Verdict> =>
  oracle(toldWorld(telling, await reducedEvents(telling)))

const people = ['x', 'y', 'z', 'u', 'v', 'w'] as const

/** What each has in the end, of whatever is theirs; what somebody gets as a referee stands under `reward`. */
export function ending({ owed }: Pick<Verdict, 'owed'>): Record<string, number> {
  const totals: Record<string, number> = {}
  for (const { earner, kind, amount } of owed) {
    const name = people.find((of) => id(of) === earner) ?? earner
    const key = kind.startsWith('reward') ? `reward ${name}` : name
    totals[key] = (totals[key] ?? 0) + Number(amount)
  }
  return totals
}

/** What each has, by a telling. */
export const endingOf = async (telling: Telling) => ending(await verdictOn(telling))

/** Why which sale credits nobody. */
export async function reasonsOf(telling: Telling): Promise<Record<string, string>> {
  const { unattributed } = await verdictOn(telling)
  return Object.fromEntries([...unattributed].map(([sale, why]) => [sale.split(' ')[2], why]))
}
