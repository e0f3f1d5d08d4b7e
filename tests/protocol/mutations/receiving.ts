/** R1: one transaction that never waits for the lock; R2: the answer, and then the settlement. */
import { begin, commit, insert, read, rollback, tryLock } from '../postgres.ts'
import { and } from '../sets.ts'
import { detour, type Mutation, take } from './mutation.ts'

const ofR1: Omit<Mutation, 'rule'>[] = [
  {
    change: 'a delivery that did not get the lock waits for it',
    breaks: /^deadlock/,
    steps: detour('insert into the inbox', 'queue it, commit', 'wait for the lock'),
  },
  {
    change: 'a delivery that did not get the lock applies its event all the same',
    breaks: /^the ledger has 0, and the facts say 1/,
    steps: detour('insert into the inbox', 'queue it, commit', 'read the queue'),
  },
  {
    change: 'the queue is read before the lock is tried',
    breaks: /is applied twice/,
    steps: {
      'begin, try the lock': (world, me) => {
        begin(me)
        me.batch = read(world, me, 'queue')
        return 'try the lock'
      },
      'try the lock': (world, me) => {
        tryLock(world, me)
        return 'insert into the inbox'
      },
      'read the queue': (world, me) => {
        if (me.isAnswered) return take('read the queue', world, me)
        me.batch = and(me.batch, me.written.inbox)
        return 'state and settle'
      },
    },
  },
  {
    change: 'no queue row is stored',
    breaks: /is stored, and neither applied nor queued nor parked/,
    steps: {
      'queue it, commit': (world, me) => {
        commit(world, me)
        return 'answer 200'
      },
    },
  },
  {
    change: 'the queue row is stored in a second transaction',
    breaks: /is stored, and neither applied nor queued nor parked/,
    steps: {
      ...detour('insert into the inbox', 'queue it, commit', 'commit'),
      commit: (world, me) => {
        commit(world, me)
        return 'queue it, commit'
      },
    },
  },
  {
    change: 'the inbox has no unique key',
    breaks: /is done, and queued/,
    steps: {
      'insert into the inbox': (_, me) => {
        insert(me, 'inbox', me.event)
        return me.lock === 'exclusive' ? 'read the queue' : 'queue it, commit'
      },
    },
  },
  {
    change: 'what another delivery is storing counts as stored',
    breaks: /is answered, and not stored/,
    steps: {
      'insert into the inbox': (world, me) => {
        const next = take('insert into the inbox', world, me)
        if (next !== 'waits') return next
        rollback(world, me)
        return 'answer 200'
      },
    },
  },
  {
    change: 'an event that is still queued is answered as a duplicate',
    breaks: /is left to maintenance/,
    scenario: { deliveries: 'AAB', redemptions: 0, failures: 1 },
    steps: {
      'look whether it is queued, commit': (world, me) => {
        commit(world, me)
        return 'answer 200'
      },
    },
  },
]

const ofR2: Omit<Mutation, 'rule'>[] = [
  {
    change: 'the answer comes before the commit',
    breaks: /is answered, and not stored/,
    steps: {
      'insert into the inbox': (world, me) => {
        const next = take('insert into the inbox', world, me)
        if (next !== 'waits') world.answered = and(world.answered, me.event)
        return next
      },
    },
  },
  {
    change: 'nobody asks for the settlement of a stored event',
    breaks: /is left to maintenance/,
    steps: detour('answer 200', 'begin, look whether it is queued', 'end'),
  },
]

export const receiving: Mutation[] = [
  ...ofR1.map((it) => ({ rule: 'R1', ...it })),
  ...ofR2.map((it) => ({ rule: 'R2', ...it })),
]
