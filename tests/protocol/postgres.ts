/**
 * As much of Postgres as the protocol uses: transactions at READ COMMITTED, a unique key, and one advisory lock. A session
 * writes what nobody else sees before it commits. Each statement reads what is committed when it begins, and its own.
 */
import { and, inBoth, without } from './sets.ts'

/** What the tables hold. The ledger is what is credited for the one sale. */
export type Rows = { inbox: string; queue: string; parked: string; facts: string; ledger: number }

type Mode = 'shared' | 'exclusive'

export type Session = {
  isOpen: boolean
  /** What its open transaction has written, and which rows of the queue it has deleted. */
  written: Rows
  deleted: string
  /** How it holds the account lock, and how it waits for it, as which of those who wait. */
  lock: Mode | 'none'
  waits: Mode | 'no'
  place: number
  /** Only at REPEATABLE READ: what was committed when the transaction began. */
  snapshot: Rows | null
}

export type Database = { committed: Rows; processes: Session[]; broken: string }

export const noRows: Rows = { inbox: '', queue: '', parked: '', facts: '', ledger: 0 }

export const newSession: Session = {
  isOpen: false,
  written: noRows,
  deleted: '',
  lock: 'none',
  waits: 'no',
  place: 0,
  snapshot: null,
}

type Table = Exclude<keyof Rows, 'ledger'>

export function begin(me: Session): void {
  me.isOpen = true
}

export function read(db: Database, me: Session, table: Table): string {
  const all = and((me.snapshot ?? db.committed)[table], me.written[table])
  return table === 'queue' ? without(all, me.deleted) : all
}

export const readLedger = (db: Database, me: Session): number =>
  (me.snapshot ?? db.committed).ledger + me.written.ledger

export function insert(me: Session, table: Table, rows: string): void {
  me.written = { ...me.written, [table]: and(me.written[table], rows) }
}

/**
 * `insert … on conflict do nothing` of a row with a unique key. If another open transaction has inserted it, Postgres waits
 * for its end.
 */
export function insertOnce(db: Database, me: Session, table: Table, row: string): 'done' | 'waits' {
  const isBeingInserted = db.processes.some((it) => it !== me && it.written[table].includes(row))
  if (isBeingInserted) return 'waits'
  if (!db.committed[table].includes(row)) insert(me, table, row)
  return 'done'
}

export function post(me: Session, amount: number): void {
  me.written = { ...me.written, ledger: me.written.ledger + amount }
}

export function commit(db: Database, me: Session): void {
  const { committed } = db
  const { written, deleted } = me
  const twice = inBoth(committed.facts, written.facts) + inBoth(committed.parked, written.parked)
  if (twice) db.broken = `${twice} is applied twice`
  db.committed = {
    inbox: and(committed.inbox, written.inbox),
    queue: without(and(committed.queue, written.queue), deleted),
    parked: and(committed.parked, written.parked),
    facts: and(committed.facts, written.facts),
    ledger: committed.ledger + written.ledger,
  }
  rollback(db, me)
}

/** The end of a transaction: its locks are released, and what it has not committed is gone. */
export function rollback(db: Database, me: Session): void {
  Object.assign(me, newSession)
  grant(db)
}

/** `pg_try_advisory_xact_lock`: takes the lock if that needs no waiting. */
export function tryLock(db: Database, me: Session): boolean {
  if (!db.processes.every((it) => it === me || it.lock === 'none')) return false
  me.lock = 'exclusive'
  return true
}

/**
 * `pg_advisory_xact_lock`. A session that waits takes no step. It waits behind all who wait already, or, if these wait for
 * what it holds, before them.
 */
export function lock(db: Database, me: Session, mode: Mode): void {
  me.waits = mode
  me.place = me.lock === 'none' ? 1 + Math.max(...db.processes.map(({ place }) => place)) : 0.5
  grant(db)
}

/** A lock that was taken in a sub-block is released when the sub-block is left by an error. */
export function unlock(db: Database, me: Session): void {
  me.lock = 'none'
  grant(db)
}

/** Gives the lock to those who wait, in their order, if neither who has it nor who is before them is in the way. */
function grant(db: Database): void {
  const waiting = db.processes.filter(({ place }) => place > 0)
  waiting.sort((one, other) => one.place - other.place)
  const ahead: Mode[] = []
  for (const it of waiting) {
    const others = db.processes.filter((other) => other !== it).map((other) => other.lock)
    const isInTheWay = (mode: string) =>
      mode === 'exclusive' || (mode === 'shared' && it.waits === 'exclusive')
    if ([...others, ...ahead].some(isInTheWay)) ahead.push(it.waits as Mode)
    else Object.assign(it, { lock: it.waits, waits: 'no', place: 0 })
  }
  for (const [index, it] of waiting.filter(({ place }) => place > 0).entries()) it.place = index + 1
}
