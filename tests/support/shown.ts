/** All that a caller is shown. */
import postgres from 'postgres'
import type { Actor } from './actors.ts'

/** The rows as text, or the error: its code, status, message and details. */
export const shown = (actor: Actor, rpc: string, args: Record<string, unknown>): Promise<string> =>
  actor.rpc(rpc, args).then(textOf, (error: unknown) => {
    if (!(error instanceof postgres.PostgresError)) throw error
    return [error.code, error.message, error.detail, error.hint].join('\n')
  })

/** Rows as one text. */
export const textOf = (rows: object[]): string =>
  JSON.stringify(rows, (_, value) => (typeof value === 'bigint' ? `${value}` : value))
