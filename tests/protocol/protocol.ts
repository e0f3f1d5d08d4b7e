/**
 * Receive and settle, step by step: how deliveries, redemptions and maintenance write facts and ledger at the same time.
 *
 * A step is what Postgres does at once: a statement, the taking of a lock, a commit; or an answer of the webhook. Between
 * two steps anybody else may take theirs. A step returns the name of the next one, or `waits` while it cannot be taken.
 * What only its own transaction sees is one step with what comes after it.
 *
 * The events are A (names the user of a customer), B (an invoice of the customer, paid) and X (cannot be applied). The
 * redemption R is the user's. The sale is credited once A, B and R are known.
 *
 * The rules, each of which `mutations` breaks on purpose:
 * - R1 A delivery is one transaction. It never waits for the account lock: with it, it applies its event and the queue;
 *   without, it stores its event in inbox and queue. An event is stored once.
 * - R2 The webhook answers 200 after the commit, and then asks for the settlement of an event that is queued.
 * - R3 A settlement waits for the lock, reads the queue under it, deletes what it has read and applied, and is repeated
 *   until its event is not queued any more.
 * - R4 All facts of a batch are stated before the ledger is settled.
 * - R5 An event that cannot be applied is parked in the same transaction, and stops no other. Any other error parks none.
 * - R9 Maintenance settles what a failure has left in the queue.
 * - K1 Whoever writes what the ledger depends on has the account lock.
 * - K2 A redemption shares the lock. If the user has payments, it releases it, takes it exclusively, and settles.
 * - K5 Transactions are READ COMMITTED: a statement under the lock reads what was committed before the lock was taken.
 */
import {
  begin,
  commit,
  type Database,
  insert,
  insertOnce,
  lock,
  post,
  read,
  readLedger,
  rollback,
  type Session,
  tryLock,
  unlock,
} from './postgres.ts'
import { and, without } from './sets.ts'

export type Process = Session & {
  kind: 'delivery' | 'redemption' | 'maintenance'
  /** For those who read what happened. */
  name: string
  /** What is delivered or redeemed. */
  event: string
  /** The step that it takes next. */
  at: string
  /** The events that it applies. */
  batch: string
  isStored: boolean
  isAnswered: boolean
  /** Of the explorer: equal processes have equal numbers; 0 is none yet. */
  number: number
}

export type World = Omit<Database, 'processes'> & {
  processes: Process[]
  /** How many queued events are applied together at most. */
  bound: number
  /** The events that Stripe has had an answer for, and those whose settlement ended too early afterwards. */
  answered: string
  cutOff: string
  /** How many failures can still happen. */
  failures: number
}

export type Step = (world: World, me: Process) => string

export const isUnappliable = (event: string) => event === 'X'

/** What is owed is a function of the facts. */
export const target = (facts: string) =>
  ['A', 'B', 'R'].every((fact) => facts.includes(fact)) ? 1 : 0

/** Posts the difference between what the facts say and what is posted. */
export function settle(world: World, me: Process): void {
  post(me, target(read(world, me, 'facts')) - readLedger(world, me))
}

const applicable = (events: string) => [...events].filter((it) => !isUnappliable(it)).join('')

/** A delivery: `ingest_stripe_event`, one transaction (R1). */
const receiving = {
  // It does not wait: another delivery of this event could have the lock, and wait for what is stored here.
  'begin, try the lock': (world, me) => {
    begin(me)
    tryLock(world, me)
    return 'insert into the inbox'
  },
  'insert into the inbox': (world, me) => {
    if (insertOnce(world, me, 'inbox', me.event) === 'waits') return 'waits'
    if (me.lock === 'exclusive') return 'read the queue'
    return me.written.inbox ? 'queue it, commit' : 'look whether it is queued, commit'
  },
  'queue it, commit': (world, me) => {
    insert(me, 'queue', me.event)
    me.isStored = true
    commit(world, me)
    return 'answer 200'
  },
  'look whether it is queued, commit': (world, me) => {
    me.isStored = read(world, me, 'queue').includes(me.event)
    commit(world, me)
    return 'answer 200'
  },
} satisfies Record<string, Step>

/** With the account lock: all that wait are applied together, and a new event with them (R1, R3, R4, R5). */
const applying = {
  'read the queue': (world, me) => {
    const own = me.isAnswered ? '' : me.written.inbox
    me.batch = and(own, read(world, me, 'queue').slice(0, world.bound))
    return 'state and settle'
  },
  // First all facts, then the ledger. An event that cannot be applied is parked, and stops no other.
  'state and settle': (world, me) => {
    insert(me, 'facts', applicable(me.batch))
    insert(me, 'parked', without(me.batch, applicable(me.batch)))
    settle(world, me)
    return 'delete what was read, commit'
  },
  'delete what was read, commit': (world, me) => {
    me.deleted = me.batch
    me.isStored = read(world, me, 'queue').includes(me.event)
    commit(world, me)
    return afterCommit(me)
  },
  // A lock, a time-out, a full disk: nobody is parked, everything waits, the new event too.
  'an error of the moment': (world, me) => {
    insert(me, 'queue', me.isAnswered ? '' : me.written.inbox)
    me.isStored = read(world, me, 'queue').includes(me.event)
    commit(world, me)
    return afterCommit(me)
  },
} satisfies Record<string, Step>

function afterCommit({ kind, isAnswered }: Process): string {
  if (kind === 'maintenance') return 'wait for the end of all others'
  return isAnswered ? 'begin, look whether it is queued' : 'answer 200'
}

/** The webhook answers (R2); then `settle_stripe_events`, one transaction, until the event is not queued any more (R3). */
const settling = {
  'answer 200': (world, me) => {
    world.answered = and(world.answered, me.event)
    me.isAnswered = true
    return me.isStored ? 'begin, look whether it is queued' : 'end'
  },
  'begin, look whether it is queued': (world, me) => {
    begin(me)
    if (read(world, me, 'queue').includes(me.event)) return 'wait for the lock'
    rollback(world, me)
    return 'end'
  },
  'wait for the lock': (world, me) => {
    lock(world, me, 'exclusive')
    return 'read the queue'
  },
} satisfies Record<string, Step>

/** `redeem_code`, one transaction (K2). */
const redeeming = {
  'begin, wait for the shared lock': (world, me) => {
    begin(me)
    lock(world, me, 'shared')
    return 'look for payments of the user'
  },
  // A lock is never upgraded: the shared one is released with the sub-block, and then the exclusive one is waited for.
  'look for payments of the user': (world, me) => {
    if (!read(world, me, 'facts').includes('A')) return 'insert the redemption'
    unlock(world, me)
    return 'wait for the exclusive lock'
  },
  'wait for the exclusive lock': (world, me) => {
    lock(world, me, 'exclusive')
    return 'insert the redemption'
  },
  'insert the redemption': (world, me) => {
    if (insertOnce(world, me, 'facts', 'R') === 'waits') return 'waits'
    return me.lock === 'exclusive' ? 'settle the redemption' : 'commit the redemption'
  },
  'settle the redemption': (world, me) => {
    settle(world, me)
    return 'commit the redemption'
  },
  'commit the redemption': (world, me) => {
    commit(world, me)
    return 'answer the user'
  },
  'answer the user': () => 'end',
} satisfies Record<string, Step>

/** `run_maintenance`, here after everything else: it settles what is left, until nothing is. */
const maintaining = {
  'wait for the end of all others': (world, me) => {
    if (world.processes.some((it) => it !== me && it.at !== 'end')) return 'waits'
    if (world.committed.queue === '') return 'end'
    begin(me)
    return 'wait for the lock'
  },
} satisfies Record<string, Step>

const steps = { ...receiving, ...applying, ...settling, ...redeeming, ...maintaining }

/** Every step by its name. */
export const protocol: Record<string, Step> = steps

/** The step that each begins with, and begins again with after a failure. */
export const firstStep: Record<Process['kind'], keyof typeof steps> = {
  delivery: 'begin, try the lock',
  redemption: 'begin, wait for the shared lock',
  maintenance: 'wait for the end of all others',
}
