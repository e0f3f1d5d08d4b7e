import type postgres from 'postgres'

/** A table or composite type of schema `referral`; `columns` is a Markdown list. */
export type RowType = { name: string; isTable: boolean; comment: string; columns: string }

/** The tables and composite types of schema `referral`, by name. A column of an enum links to its values. */
export async function rowTypes(sql: postgres.Sql): Promise<RowType[]> {
  return sql<RowType[]>`
    select format('referral.%s', c.relname) as name, c.relkind = 'r' as "isTable",
      replace(coalesce(obj_description(c.oid, 'pg_class'), ''), e'\n', ' ') as comment,
      string_agg(format(
        case when t.typtype = 'e' then '- \`%s\` [\`%s\`](#%s)' else '- \`%s\` %s' end,
        a.attname, replace(format_type(a.atttypid, null), 'timestamp with time zone', 'timestamptz'),
        replace(format_type(a.atttypid, null), '.', '')
      ), e'\n' order by a.attnum) as columns
    from pg_class as c
    join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    join pg_type as t on t.oid = a.atttypid
    where c.relnamespace = 'referral'::regnamespace and c.relkind in ('r', 'c')
    group by c.oid
    order by c.relname`
}

/** The enums of schema `referral`, by name, each with its values in order. */
export async function enumTypes(sql: postgres.Sql): Promise<{ name: string; values: string[] }[]> {
  return sql`
    select format('referral.%s', t.typname) as name, array_agg(e.enumlabel::text order by e.enumsortorder) as values
    from pg_type as t
    join pg_enum as e on e.enumtypid = t.oid
    where t.typnamespace = 'referral'::regnamespace
    group by t.oid
    order by t.typname`
}
