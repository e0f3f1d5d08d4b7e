/** K1: one lock for all who write facts or ledger; K2: redemptions share it, and never upgrade; K5: READ COMMITTED. */
import { begin, lock, read } from '../postgres.ts'
import { protocol, type Step } from '../protocol.ts'
import { detour, type Mutation } from './mutation.ts'

/** Each transaction reads what was committed when it began. */
const repeatableRead = Object.entries(protocol).map(([name, step]): [string, Step] => [
  name,
  (world, me) => {
    const next = step(world, me)
    if (me.isOpen) me.snapshot ??= world.committed
    return next
  },
])

export const locks: Mutation[] = [
  {
    rule: 'K1',
    change: 'neither deliveries nor settlements take the lock',
    breaks: /^the ledger has 0, and the facts say 1/,
    steps: {
      'begin, try the lock': (_, me) => {
        begin(me)
        return 'insert into the inbox'
      },
      ...detour('insert into the inbox', 'queue it, commit', 'read the queue'),
      ...detour('begin, look whether it is queued', 'wait for the lock', 'read the queue'),
    },
  },
  {
    rule: 'K2',
    change: 'a redemption takes no lock',
    breaks: /^the ledger has 0, and the facts say 1/,
    steps: {
      'begin, wait for the shared lock': (_, me) => {
        begin(me)
        return 'look for payments of the user'
      },
    },
  },
  {
    rule: 'K2',
    change: 'a redemption looks for payments before it has the lock, and not again',
    breaks: /^the ledger has 0, and the facts say 1/,
    steps: {
      'begin, wait for the shared lock': (world, me) => {
        begin(me)
        const isPayer = read(world, me, 'facts').includes('A')
        lock(world, me, isPayer ? 'exclusive' : 'shared')
        return 'insert the redemption'
      },
    },
  },
  {
    rule: 'K2',
    change: 'a redemption of a payer settles nothing',
    breaks: /^the ledger has 0, and the facts say 1/,
    steps: detour('insert the redemption', 'settle the redemption', 'commit the redemption'),
  },
  {
    rule: 'K2',
    change: 'a redemption upgrades its shared lock',
    breaks: /^deadlock/,
    scenario: { deliveries: 'AB', redemptions: 2, failures: 0 },
    steps: {
      'look for payments of the user': (world, me) =>
        read(world, me, 'facts').includes('A')
          ? 'wait for the exclusive lock'
          : 'insert the redemption',
    },
  },
  {
    rule: 'K5',
    change: 'transactions are REPEATABLE READ',
    breaks: /^the ledger has 0, and the facts say 1/,
    steps: Object.fromEntries(repeatableRead),
  },
]
