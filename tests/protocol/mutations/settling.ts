/**
 * R3: the queue is read under the lock, which is waited for, and what was read is deleted. R4: all facts come first.
 * R9: maintenance settles what is left.
 */
import { begin, commit, insert, lock, read, rollback, tryLock } from '../postgres.ts'
import { settle } from '../protocol.ts'
import { detour, type Mutation, only, take } from './mutation.ts'

const ofR3: Omit<Mutation, 'rule'>[] = [
  {
    change: 'the lock is not waited for',
    breaks: /is left to maintenance/,
    steps: {
      'wait for the lock': (world, me) => {
        if (tryLock(world, me)) return 'read the queue'
        rollback(world, me)
        return 'end'
      },
    },
  },
  {
    change: 'the lock is not taken',
    breaks: /is applied twice/,
    steps: detour('begin, look whether it is queued', 'wait for the lock', 'read the queue'),
  },
  {
    change: 'the queue is read before the lock is waited for, and not again',
    breaks: /is applied twice/,
    steps: {
      'wait for the lock': (world, me) => {
        me.batch = read(world, me, 'queue')
        lock(world, me, 'exclusive')
        return 'state and settle'
      },
    },
  },
  {
    change: 'only events after the newest applied one are read',
    breaks: /^the end is out of reach/,
    steps: {
      'read the queue': (world, me) => {
        const next = take('read the queue', world, me)
        const applied = only(read(world, me, 'facts'), (fact) => fact !== 'R')
        me.batch = only(me.batch, (event) => event > applied || event === me.written.inbox)
        return next
      },
    },
  },
  {
    change: 'all of the queue is deleted, not only what was read',
    breaks: /is stored, and neither applied nor queued nor parked/,
    steps: {
      'delete what was read, commit': (world, me) => {
        me.batch = read(world, me, 'queue')
        return take('delete what was read, commit', world, me)
      },
    },
  },
  {
    change: 'what was applied stays queued',
    breaks: /is done, and queued/,
    steps: {
      'delete what was read, commit': (world, me) => {
        me.batch = ''
        return take('delete what was read, commit', world, me)
      },
    },
  },
  {
    change: 'what was read is deleted in a first transaction, and applied in a second',
    breaks: /is stored, and neither applied nor queued nor parked/,
    steps: {
      ...detour('read the queue', 'state and settle', 'delete'),
      delete: (world, me) => {
        me.deleted = me.batch
        commit(world, me)
        begin(me)
        return 'wait for the lock'
      },
    },
  },
  {
    change: 'one batch is settled, whether the event was among it or not',
    breaks: /is left to maintenance/,
    scenario: { deliveries: 'AAB', redemptions: 1, failures: 0, bound: 1 },
    steps: detour('delete what was read, commit', 'begin, look whether it is queued', 'end'),
  },
]

const ofR4: Omit<Mutation, 'rule'>[] = [
  {
    change: 'the ledger is settled before the facts are stated',
    breaks: /^the ledger has 0, and the facts say 1/,
    steps: {
      'state and settle': (world, me) => {
        settle(world, me)
        insert(me, 'facts', me.batch)
        return 'delete what was read, commit'
      },
    },
  },
  {
    change: 'the first event is stated and settled, and only then the others are stated',
    breaks: /^the ledger has 0, and the facts say 1/,
    steps: {
      'state and settle': (world, me) => {
        insert(me, 'facts', me.batch.slice(0, 1))
        settle(world, me)
        insert(me, 'facts', me.batch.slice(1))
        return 'delete what was read, commit'
      },
    },
  },
  {
    change: 'only the sales that the events name are settled, not those of linked payers',
    breaks: /^the ledger has 0, and the facts say 1/,
    steps: {
      'state and settle': (world, me) => {
        insert(me, 'facts', me.batch)
        if (me.batch.includes('B')) settle(world, me)
        return 'delete what was read, commit'
      },
    },
  },
]

const ofR9: Omit<Mutation, 'rule'>[] = [
  {
    change: 'maintenance does not settle what a failure has left',
    breaks: /is queued in the end/,
    scenario: { deliveries: 'AB', redemptions: 0, failures: 1 },
    steps: detour('wait for the end of all others', 'wait for the lock', 'end'),
  },
]

export const settling: Mutation[] = [
  ...ofR3.map((it) => ({ rule: 'R3', ...it })),
  ...ofR4.map((it) => ({ rule: 'R4', ...it })),
  ...ofR9.map((it) => ({ rule: 'R9', ...it })),
]
