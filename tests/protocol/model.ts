/** The protocol as a model to explore: who takes part, what can happen, and which failures. */
import type { Happening, Model } from './explorer.ts'
import { newSession, noRows, type Rows, rollback } from './postgres.ts'
import { brokenPromise } from './promises.ts'
import { firstStep, type Process, type Step, type World } from './protocol.ts'
import { and } from './sets.ts'

/**
 * `deliveries` are events: `AAB` are two of A and one of B. Without redemptions, R is known from the start. `bound` is how
 * many queued events are applied together.
 */
export type Scenario = {
  deliveries: string
  redemptions: number
  failures: number
  bound?: number
}

export function modelOf(scenario: Scenario, protocol: Record<string, Step>): Model<World> {
  return {
    start: startOf(scenario),
    steps: (world) => stepsOf(world, protocol),
    failures: (world) => failuresOf(world, protocol),
    key: keyOf,
    isEnd: ({ processes }) => processes.every(({ at }) => at === 'end'),
    broken: (world) => brokenPromise(world, scenario.deliveries),
  }
}

function startOf({ deliveries, redemptions, failures, bound = 99 }: Scenario): World {
  const process = (kind: Process['kind'], event: string, name: string): Process => ({
    ...newSession,
    ...{ kind, event, name, at: firstStep[kind], number: 0 },
    ...{ batch: '', isStored: false, isAnswered: false },
  })
  return {
    committed: { ...noRows, facts: redemptions > 0 ? '' : 'R' },
    processes: [
      ...[...deliveries].map((it, nth) => process('delivery', it, `delivery ${nth + 1} (${it})`)),
      ...Array.from({ length: redemptions }, (_, nth) =>
        process('redemption', 'R', `redemption ${nth + 1}`),
      ),
      process('maintenance', '', 'maintenance'),
    ],
    ...{ bound, answered: '', cutOff: '', failures, broken: '' },
  }
}

/** A copy in which some processes change; those that wait for the lock may, too. Rows never change in place. */
const copyFor = (world: World, changes: (it: Process, index: number) => boolean): World => ({
  ...world,
  processes: world.processes.map((it, index) =>
    it.place > 0 || changes(it, index) ? { ...it, number: 0 } : it,
  ),
})

/** What is the case after a process has taken a step; nothing if it has to wait. */
function take(world: World, index: number, step: Step | undefined): World | undefined {
  const state = copyFor(world, (_, other) => other === index)
  const me = state.processes[index]
  if (!me || !step) throw new Error(`There is no step ${me?.at}`)
  const next = step(state, me)
  if (next === 'waits') return undefined
  me.at = next
  // What nobody needs any more must not make two states of one.
  if (!me.isOpen) me.batch = ''
  if (next === 'end') Object.assign(me, { isStored: false, isAnswered: false })
  return state
}

/** The next step of each process. */
function* stepsOf(world: World, protocol: Record<string, Step>): Generator<Happening<World>> {
  for (const [index, { at, name, place }] of world.processes.entries()) {
    if (at === 'end' || place > 0) continue
    const state = take(world, index, protocol[at])
    if (state) yield { step: `${name}: ${at}`, state }
  }
}

/**
 * What can fail at any moment: a settlement, by an error that is no one event's; a function or its connection, by a
 * time-out too; the database, with every open transaction; everything.
 */
function* failuresOf(world: World, protocol: Record<string, Step>): Generator<Happening<World>> {
  if (world.failures === 0) return
  const before = { ...world, failures: world.failures - 1 }
  const end = (which: (process: Process, index: number) => boolean) => {
    const state = copyFor(before, which)
    for (const process of state.processes.filter(which)) beginAgain(state, process)
    return state
  }
  for (const [index, { kind, name, at }] of world.processes.entries()) {
    if (at === 'state and settle') {
      const step = 'an error of the moment'
      const state = take(before, index, protocol[step])
      if (state) yield { step: `${name}: ${step}`, state }
    }
    // One that has not begun loses nothing.
    if (at !== 'end' && at !== firstStep[kind])
      yield { step: `${name} ends early`, state: end((_, other) => other === index) }
  }
  yield { step: 'the database ends', state: end(({ isOpen }) => isOpen) }
  yield { step: 'everything ends', state: end(({ at }) => at !== 'end') }
}

/** What is not committed is gone. Stripe delivers again what was not answered, users try again; the rest has ended. */
function beginAgain(world: World, me: Process): void {
  rollback(world, me)
  const { isAnswered, kind } = me
  if (isAnswered) world.cutOff = and(world.cutOff, me.event)
  const at = isAnswered ? 'end' : firstStep[kind]
  Object.assign(me, { at, batch: '', isStored: false, isAnswered: false })
}

const textOf = ({ inbox, queue, parked, facts, ledger }: Rows) =>
  `${inbox},${queue},${parked},${facts},${ledger}`

const numbers = new Map<string, number>()

/** A process that has not changed is the same object, and has its number. */
function numberOf(it: Process): number {
  if (it.number > 0) return it.number
  const { kind, event, at, batch, isStored, isAnswered, isOpen, lock, waits, place } = it
  const itself = `${kind},${event},${at},${batch},${isStored},${isAnswered}`
  const rows = `${textOf(it.written)},${it.deleted},${it.snapshot ? textOf(it.snapshot) : ''}`
  const text = `${itself},${isOpen},${lock},${waits},${place},${rows}`
  it.number = numbers.get(text) ?? numbers.size + 1
  numbers.set(text, it.number)
  return it.number
}

/** The same for states in which deliveries of one event have changed places. */
function keyOf({ committed, answered, cutOff, failures, broken, processes }: World): string {
  const sorted = processes.map(numberOf).sort((one, other) => one - other)
  return `${textOf(committed)},${answered},${cutOff},${failures},${broken},${sorted}`
}
