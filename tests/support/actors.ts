/** Who calls: a person, the anonymous role, the operator. Each calls RPCs and reads tables with their own rights. */
import postgres from 'postgres'
import type { Sql } from './database.ts'

type Row = Record<string, unknown>
type Role = 'anon' | 'authenticated' | 'service_role'

export type Actor = {
  id: string
  /** Calls an RPC by name with named arguments, and gives its rows. */
  rpc: (name: string, args?: Record<string, unknown>) => Promise<Row[]>
  /** Runs SQL text with the actor's rights. */
  run: (query: string, values?: unknown[]) => Promise<Row[]>
}

/** A signed-in person; `claims` add to the token. */
export function person(sql: Sql, id: string = crypto.randomUUID(), claims: object = {}): Actor {
  return actor(sql, 'authenticated', { sub: id, role: 'authenticated', ...claims })
}

/** Somebody who is not signed in. */
export function anonymous(sql: Sql): Actor {
  return actor(sql, 'anon', { role: 'anon' })
}

/** The holder of the secret key. */
export function operator(sql: Sql): Actor {
  return actor(sql, 'service_role', { role: 'service_role' })
}

function actor(sql: Sql, role: Role, claims: { sub?: string; role: Role }): Actor {
  const act = (work: (tx: postgres.TransactionSql) => Promise<Row[]>) =>
    nested(sql, async (tx) => {
      await tx`select set_config('role', ${role}, true), set_config('request.jwt.claims', ${JSON.stringify(claims)}, true)`
      const rows = await work(tx)
      await tx`select set_config('role', 'none', true), set_config('request.jwt.claims', '', true)`
      return rows
    })
  return {
    id: claims.sub ?? '',
    run: (query, values = []) => act((tx) => tx.unsafe<Row[]>(query, values as never[])),
    rpc: (name, args = {}) =>
      act((tx) => {
        const { query, values } = callOf(tx, name, args)
        return tx.unsafe<Row[]>(query, values as never[])
      }),
  }
}

/** The text of a call with named arguments, and their values. */
export function callOf(sql: Sql, name: string, args: Record<string, unknown>) {
  const names = Object.keys(args).map((key, i) => `${key} => $${i + 1}`)
  const values = Object.values(args).map((value) => (isObject(value) ? sql.json(value) : value))
  return { query: `select * from referral.${name}(${names.join(', ')})`, values }
}

const isObject = (value: unknown): value is postgres.JSONValue =>
  typeof value === 'object' && value !== null

/** A transaction of its own, or a savepoint inside one. */
function nested<Result>(
  sql: Sql,
  work: (tx: postgres.TransactionSql) => Promise<Result>,
): Promise<Result> {
  const begun = 'savepoint' in sql ? sql.savepoint(work) : sql.begin(work)
  return begun as Promise<Result>
}

/** Makes a call, and again where it is busy, as Stripe and every good client do. A deadlock is a fault of ours, and stays one. */
export async function patiently<Result>(call: () => Promise<Result>): Promise<Result> {
  try {
    return await call()
  } catch (error) {
    const isDeadlock = error instanceof Error && error.message.includes('waited for each other')
    if (isDeadlock || (await refusal(Promise.reject(error))) !== 'busy') throw error
    return patiently(call)
  }
}

/** The code with which a call is refused; a call that is not refused fails the test. */
export async function refusal(call: Promise<unknown>): Promise<string> {
  const error = await refused(call)
  return error.code === 'PGRST' ? JSON.parse(error.message).code : error.code
}

/** The details of the error with which a call is refused. */
export async function details(call: Promise<unknown>): Promise<string> {
  return JSON.parse((await refused(call)).message).details
}

async function refused(call: Promise<unknown>): Promise<postgres.PostgresError> {
  const error = await call.then(
    (answer) => {
      throw new Error(`expected a refusal, got ${JSON.stringify(answer)}`)
    },
    (reason: unknown) => reason,
  )
  if (!(error instanceof postgres.PostgresError)) throw error
  return error
}
