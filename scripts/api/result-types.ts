import type postgres from 'postgres'

/** The columns of every table and composite type of schema `referral`, as a Markdown list by name. */
export async function resultTypes(sql: postgres.Sql): Promise<Map<string, string>> {
  const rows = await sql<{ name: string; columns: string }[]>`
    select format('referral.%s', c.relname) as name,
      string_agg(format('- \`%s\` %s', a.attname, format_type(a.atttypid, null)), e'\n' order by a.attnum) as columns
    from pg_class as c
    join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'referral'::regnamespace and c.relkind in ('r', 'c')
    group by c.relname`
  return new Map(rows.map(({ name, columns }) => [name, columns]))
}
