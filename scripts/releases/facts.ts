/** What the CLI's diff does not compare, or prints differently: read from the catalog of a database, by what it is of. */
import type postgres from 'postgres'

type Sql = postgres.Sql | postgres.TransactionSql

/** Sets of facts: each has the names of what it describes, and of each a text that is equal in equal databases. */
export type Facts = Record<'order' | 'body' | 'comment' | 'grant' | 'rows', Map<string, string>>

/** Reads the facts of the schemas of referbase. */
export async function readFacts(sql: Sql): Promise<Facts> {
  const read = async (text: string) =>
    new Map((await sql.unsafe<Fact[]>(text)).map(({ name, value }) => [name, value ?? '']))
  const [order, body, comment, grant] = [
    await read(columnOrders),
    await read(bodies),
    await read(comments),
    await read(grants),
  ]
  return { order, body, comment, grant, rows: await readRows(sql) }
}

type Fact = { name: string; value: string | null }

const schemas = `(select oid from pg_namespace where nspname in ('referral', 'referral_private'))`

const columnOrders = `
  select c.oid::regclass::text as name, string_agg(a.attname, ', ' order by a.attnum) as value
  from pg_class as c
  join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  where c.relnamespace in ${schemas} and c.relkind in ('r', 'p', 'c', 'v', 'm')
  group by c.oid`

const bodies = `
  select p.oid::regprocedure::text as name, pg_get_functiondef(p.oid) as value
  from pg_proc as p where p.pronamespace in ${schemas} and p.prokind in ('f', 'p')`

/** Comments of everything that is in the schemas, of the schemas, and of columns, constraints, triggers and policies. */
const comments = `
  select format('%s %s', o.type, o.identity) as name, d.description as value
  from pg_description as d
  cross join lateral pg_identify_object(d.classoid, d.objoid, d.objsubid) as o
  where o.schema in ('referral', 'referral_private')
    or o.type = 'schema' and o.name in ('referral', 'referral_private')
    or o.identity ~ ' on referral(_private)?[.]'`

const grants = `
  select g.name, string_agg(
    format('%s %s%s', coalesce(r.rolname, 'public'), x.privilege_type, case when x.is_grantable then ' with grant' end),
    ', ' order by r.rolname, x.privilege_type
  ) as value
  from (
    select format('schema %s', nspname) as name, nspacl as acl from pg_namespace where oid in ${schemas}
    union all
    select format('%s', oid::regclass), relacl from pg_class where relnamespace in ${schemas} and relkind in ('r', 'p', 'v', 'm', 'S')
    union all
    select format('%s of %s', attname, attrelid::regclass), attacl from pg_attribute
    where attacl is not null and attrelid in (select oid from pg_class where relnamespace in ${schemas})
    union all
    select format('%s', oid::regprocedure), coalesce(proacl, acldefault('f', proowner)) from pg_proc where pronamespace in ${schemas}
    union all
    select format('type %s', oid::regtype), coalesce(typacl, acldefault('T', typowner)) from pg_type
    where typnamespace in ${schemas} and typtype in ('e', 'd', 'c')
  ) as g (name, acl)
  cross join lateral aclexplode(g.acl) as x
  left join pg_roles as r on r.oid = x.grantee
  group by g.name`

/** Each row as JSON with its columns by name, so that their order does not count. */
async function readRows(sql: Sql): Promise<Map<string, string>> {
  const tables = await sql<{ name: string }[]>`
    select c.oid::regclass::text as name from pg_class as c
    where c.relnamespace::regnamespace::text in ('referral', 'referral_private') and c.relkind in ('r', 'p')
      and not c.relispartition`
  const rows = new Map<string, string>()
  for (const { name } of tables) {
    const [found] = await sql.unsafe<{ value: string | null }[]>(
      `select string_agg(r.value, e'\\n' order by r.value) as value from (select to_jsonb(t)::text from ${name} as t) as r (value)`,
    )
    rows.set(name, found?.value ?? '')
  }
  return rows
}
