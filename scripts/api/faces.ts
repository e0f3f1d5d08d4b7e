/** The public faces of private functions, read from the catalog of a database that has sql/ without sql/90_api.sql. */
import type postgres from 'postgres'
import { CliError } from '../../cli/cli-error.ts'
import { type Documentation, parseDocumentation } from './documentation.ts'

export type Argument = { name: string; type: string; default: string | null; text: string }

/** An RPC as it is promised: everything of it is stated on the private function of the same name. */
export type Face = Omit<Documentation, 'arguments'> & {
  name: string
  arguments: Argument[]
  returns: string
  isSet: boolean
  /** At most one row: a row or none. */
  isSingle: boolean
  isComposite: boolean
  volatility: 'immutable' | 'stable' | 'volatile'
  roles: string[]
}

type Row = {
  name: string
  comment: string
  volatility: string
  isDefiner: boolean
  isSet: boolean
  rows: number
  returns: string
  returnKind: string
  modes: string[] | null
  names: string[] | null
  types: string[]
  defaults: (string | null)[]
  roles: string[]
  overloads: number
}

/** Reads the faces in the order of their groups' first mention in `groups`. Refuses what is ambiguous, by name. */
export async function readFaces(sql: postgres.Sql | postgres.TransactionSql): Promise<Face[]> {
  const rows = await sql<Row[]>`
    select p.proname as name, obj_description(p.oid, 'pg_proc') as comment, p.provolatile as volatility,
      p.prosecdef as "isDefiner", p.proretset as "isSet", p.prorows as rows, format_type(p.prorettype, null) as returns,
      t.typtype as "returnKind", p.proargmodes::text[] as modes, p.proargnames as names,
      array(select format_type(a.type, null) from unnest(p.proargtypes) with ordinality as a (type, place) order by a.place) as types,
      (
        select coalesce(json_agg(pg_get_function_arg_default(p.oid, place) order by place), '[]')
        from generate_series(1, p.pronargs) as place
      ) as defaults,
      array(
        select r.rolname::text from aclexplode(p.proacl) as a join pg_roles as r on r.oid = a.grantee
        where a.privilege_type = 'EXECUTE' and a.grantee <> p.proowner order by 1
      ) as roles,
      (select count(*)::int from pg_proc as o where o.pronamespace = p.pronamespace and o.proname = p.proname) as overloads
    from pg_proc as p
    join pg_type as t on t.oid = p.prorettype
    where p.pronamespace = 'referral_private'::regnamespace and obj_description(p.oid, 'pg_proc') like 'public:%'
    order by p.proname`
  return rows.map(toFace)
}

const volatilities = { i: 'immutable', s: 'stable', v: 'volatile' } as const

function toFace(row: Row): Face {
  const refuse = (reason: string): never => {
    throw new CliError(`referral_private.${row.name} cannot be made public: ${reason}.`)
  }
  if (row.overloads > 1) refuse('it is overloaded')
  if (!row.isDefiner) refuse('it is not security definer')
  if (row.modes)
    refuse('it has output arguments; return a table row, a scalar or a named composite type')
  if (row.returns === 'record' || row.returnKind === 'p') refuse(`it returns ${row.returns}`)
  if (row.roles.length === 0) refuse('no role may execute it')
  const { arguments: texts, ...documentation } = parseDocumentation(row.comment, refuse)
  const names = (row.names ?? []).map((name) =>
    name.startsWith('p_') ? name.slice(2) : refuse(`the argument ${name} does not begin with p_`),
  )
  const undocumented = names.filter((name) => !texts.has(name))
  const unknown = [...texts.keys()].filter((name) => !names.includes(name))
  if (undocumented.length) refuse(`its comment does not describe ${undocumented.join(', ')}`)
  if (unknown.length) refuse(`its comment describes ${unknown.join(', ')}, which it does not take`)
  return {
    ...documentation,
    name: row.name,
    arguments: names.map((name, i) => ({
      name,
      type: shortType(row.types[i] ?? ''),
      default: row.defaults[i]?.replace(/::[\w ."[\]]+$/, '') ?? null,
      text: texts.get(name) ?? '',
    })),
    returns: shortType(row.returns),
    isSet: row.isSet,
    isSingle: row.isSet && row.rows === 1,
    isComposite: row.returnKind === 'c',
    volatility: volatilities[row.volatility as keyof typeof volatilities],
    roles: row.roles,
  }
}

const shortNames: Record<string, string> = {
  'timestamp with time zone': 'timestamptz',
  integer: 'int',
}

const shortType = (type: string) => shortNames[type] ?? type
