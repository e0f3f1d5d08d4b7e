/** What must be true in every state, and in the end. */
import { isUnappliable, type Process, target, type World } from './protocol.ts'
import { inBoth, without } from './sets.ts'

/** The first promise that does not hold, if any. */
export function brokenPromise(world: World, deliveries: string): string | undefined {
  const { committed, answered, processes } = world
  const { inbox, queue, parked, facts, ledger } = committed
  if (world.broken) return world.broken

  const owed = target(facts)
  if (ledger !== owed) return `the ledger has ${ledger}, and the facts say ${owed}`

  const unknown = without(answered, inbox)
  if (unknown) return `${unknown} is answered, and not stored`

  const done = without(facts, 'R') + parked
  const lost = without(inbox, done + queue)
  if (lost) return `${lost} is stored, and neither applied nor queued nor parked`

  const both = inBoth(queue, done)
  if (both) return `${both} is done, and queued`

  const wronglyParked = [...parked].filter((event) => !isUnappliable(event)).join('')
  if (wronglyParked) return `${wronglyParked} is parked, and could be applied`

  const hasEnded = ({ at }: Process) => at === 'end'
  if (processes.every(hasEnded)) return missing(world, deliveries)
  const others = processes.filter(({ kind }) => kind !== 'maintenance')
  return others.every(hasEnded) ? leftOver(world) : undefined
}

/** Maintenance is only for what a failure has left. */
function leftOver({ committed, cutOff }: World): string | undefined {
  const left = without(committed.queue, cutOff)
  return left ? `${left} is left to maintenance, and no settlement was cut off` : undefined
}

function missing({ committed, answered }: World, deliveries: string): string | undefined {
  const { queue, facts, ledger } = committed
  if (queue) return `${queue} is queued in the end`
  const unknown = without(deliveries, answered) + without('R', facts)
  if (unknown) return `${unknown} is unknown in the end`
  return ledger === 1 ? undefined : 'the sale is not credited in the end'
}
