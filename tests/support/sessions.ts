/** Two transactions side by side, each ended when the test says so, and waiting until one is really blocked. */
import type postgres from 'postgres'

export type Session = {
  tx: postgres.TransactionSql
  /** Rejects with the error where the transaction cannot be committed. */
  commit: () => Promise<void>
  /** Quiet, also where the transaction has ended already. */
  rollback: () => Promise<void>
  /** Waits until this session waits for a lock that another one holds. */
  blocked: () => Promise<void>
}

/** Opens two transactions, each on a connection of its own; what is still open at the end is rolled back. */
export async function sessions(
  sql: postgres.Sql,
  work: (one: Session, other: Session) => Promise<void>,
): Promise<void> {
  const [one, other] = [await open(sql), await open(sql)]
  try {
    await work(one, other)
  } finally {
    await Promise.all([one.rollback(), other.rollback()])
  }
}

function open(sql: postgres.Sql): Promise<Session> {
  return new Promise((ready, fail) => {
    const end = Promise.withResolvers<void>()
    const transaction = sql.begin(async (tx) => {
      const [row] = await tx`select pg_backend_pid() as pid`
      ready({
        tx,
        commit: async () => {
          end.resolve()
          await transaction
        },
        rollback: async () => {
          end.reject()
          await transaction.catch(() => {})
        },
        blocked: () => blocked(sql, row?.pid),
      })
      await end.promise
    })
    transaction.catch(fail)
  })
}

async function blocked(sql: postgres.Sql, pid: number): Promise<void> {
  for (let tries = 0; tries < 2000; tries++) {
    const [row] = await sql`select cardinality(pg_blocking_pids(${pid})) > 0 as waits`
    if (row?.waits) return
  }
  throw new Error(`session ${pid} was never blocked`)
}
