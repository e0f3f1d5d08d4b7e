import type { Values } from './arguments.ts'
import type { Query } from './schema.ts'

/**
 * A page of a list. `after` is the last row of the previous page. `pageSize` is 100 unless given, 1,000 at most.
 *
 * @example
 * let after: Code | undefined
 * do {
 *   const { data, error } = await referrals.listCodes({ after })
 *   if (error) throw error
 *   …
 *   after = data.at(-1)
 * } while (after)
 */
export type Page<Row> = { after?: Row | null | undefined; pageSize?: number }

/**
 * The page of a table's rows, newest first by this column. `also` is a condition that they meet: it is in one filter with the
 * place of the page, because not every server takes two.
 */
export function pageOf(
  query: Query,
  column: string,
  { after, page_size }: Values,
  also?: string | false,
): Query {
  const last = after as Record<string, string> | undefined
  const conditions = [
    also,
    last &&
      `or(${column}.lt."${last[column]}",and(${column}.eq."${last[column]}",id.gt."${last.id}"))`,
  ].filter(Boolean)
  return (conditions[0] ? query.or(`and(${conditions})`) : query)
    .order(column, { ascending: false })
    .order('id')
    .limit((page_size ?? 100) as number)
}
