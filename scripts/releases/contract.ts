/**
 * What a release promises: no RPC is dropped, returns another type, takes other arguments or loses a caller; results grow at
 * their end.
 */
import type postgres from 'postgres'

/** The public contract of a database, by name. */
export type Contract = {
  /** The arguments, how many of them are optional, the result, and the roles that may call, of each RPC. */
  calls: Map<string, { arguments: string; returns: string; list: string[] }>
  /** The columns of each table and result, in order, with their types. */
  rows: Map<string, string[]>
  enums: Map<string, string[]>
}

type Row = {
  kind: keyof Contract
  name: string
  arguments: string
  returns: string
  list: string[]
}

/** Reads the contract: everything in schema `referral`. */
export async function readContract(sql: postgres.Sql): Promise<Contract> {
  const found = await sql<Row[]>`
    select 'calls' as kind, p.oid::regproc::text as name, string_agg(format(
      '(%s), %s of them optional', pg_get_function_identity_arguments(p.oid), p.pronargdefaults
    ), ' and ') as arguments, string_agg(pg_get_function_result(p.oid), ' and ') as returns, array(
      select r.rolname::text from pg_roles as r
      where r.rolname in ('anon', 'authenticated', 'service_role')
        and has_function_privilege(r.oid, min(p.oid), 'execute')
      order by 1
    ) as list
    from pg_proc as p
    where p.pronamespace = 'referral'::regnamespace
    group by 2
    union all
    select 'rows', c.oid::regclass::text, null, null,
      array_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)) order by a.attnum)
    from pg_class as c
    join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'referral'::regnamespace and c.relkind in ('r', 'p', 'c', 'v') and not c.relispartition
    group by c.oid
    union all
    select 'enums', t.oid::regtype::text, null, null, array_agg(e.enumlabel::text order by e.enumsortorder)
    from pg_type as t
    join pg_enum as e on e.enumtypid = t.oid
    where t.typnamespace = 'referral'::regnamespace
    group by t.oid
    order by 1, 2`
  const of = (kind: keyof Contract) => found.filter((row) => row.kind === kind)
  const listsOf = (kind: 'rows' | 'enums') =>
    new Map(of(kind).map(({ name, list }): [string, string[]] => [name, list]))
  return {
    calls: new Map(of('calls').map((row) => [row.name, row])),
    rows: listsOf('rows'),
    enums: listsOf('enums'),
  }
}

/** Every promise of the last release that sql/ breaks, a sentence each. */
export function brokenPromises(released: Contract, now: Contract): string[] {
  const broken: string[] = []
  for (const [name, before] of released.calls) {
    const after = now.calls.get(name)
    if (!after) broken.push(`${name} is gone: keep it, and give what replaces it another name.`)
    else if (after.arguments !== before.arguments)
      broken.push(
        `${name} takes ${after.arguments}, and took ${before.arguments} when it was released: give the new one another name.`,
      )
    else if (after.returns !== before.returns)
      broken.push(
        `${name} returns ${after.returns}, and returned ${before.returns} when it was released: give the new one another name.`,
      )
    const lost = before.list.filter((role) => after && !after.list.includes(role))
    if (lost.length) broken.push(`${name} can no longer be called by ${lost.join(', ')}.`)
  }
  for (const [name, before] of released.rows) {
    const after = now.rows.get(name) ?? []
    if (before.some((column, i) => after[i] !== column))
      broken.push(
        `${name} is (${after.join(', ')}), and was released as (${before.join(', ')}): it may grow at its end only.`,
      )
  }
  for (const [name, before] of released.enums) {
    const lost = before.filter((value) => !now.enums.get(name)?.includes(value))
    if (lost.length) broken.push(`${name} has lost ${lost.join(', ')}: keep released values.`)
  }
  return broken
}
