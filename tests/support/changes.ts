/** What a call puts on record, and what it should. */
import { expect } from 'vitest'
import type { Sql } from './database.ts'

export type Change = {
  subject: string
  subject_id: unknown
  before: Record<string, unknown> | null
  after: Record<string, unknown> | null
}

/** A time that the database gave, in UTC. */
export const time: unknown = expect.stringMatching(
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00$/,
)

/** What goes on record while something is done, oldest first. */
export async function recorded(sql: Sql, done: () => Promise<unknown>) {
  const [last] = await sql`select coalesce(max(id), 0)::int as id from referral_private.changes`
  await done()
  return sql<(Change & { actor_id: string | null; made_as: string })[]>`
    select subject, subject_id, actor_id, made_as, before, after from referral_private.changes
    where id > ${last?.id} order by id`
}

/** What is made: its columns, but for those that are null. */
export const made = (subject: string, subject_id: unknown, columns: object): Change => ({
  ...{ subject, subject_id, before: null },
  after: Object.fromEntries(Object.entries(columns).filter(([, value]) => value !== null)),
})

/** What changes: each column with its value before and after, but for those that stay. */
export function changed(
  subject: string,
  subject_id: unknown,
  columns: Record<string, [before: unknown, after: unknown]>,
): Change {
  const differ = Object.entries(columns).filter(([, [before, after]]) => before !== after)
  return {
    ...{ subject, subject_id },
    before: Object.fromEntries(differ.map(([column, [before]]) => [column, before])),
    after: Object.fromEntries(differ.map(([column, [, after]]) => [column, after])),
  }
}
