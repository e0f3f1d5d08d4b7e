/** An RPC's arguments in every shape: all of the matrix, those that it requires, and each with an optional one. */
import { calls } from './calls.ts'
import type { Sql } from './database.ts'
import type { Stage } from './stage.ts'

export type Args = Record<string, unknown>

/** What an optional argument can name, of the organisation. */
const named: Record<string, (stage: Stage) => unknown> = {
  'org_id uuid': ({ org }) => org,
  'program_id uuid': ({ program }) => program,
  'code_id uuid': ({ codeId }) => codeId,
  'member_id uuid': ({ mentor }) => mentor.id,
  'batch_id uuid': () => crypto.randomUUID(),
  'referrer_id uuid': ({ mentor }) => mentor.id,
  'earner_id uuid': ({ mentor }) => mentor.id,
  'actor_id uuid': ({ admin }) => admin.id,
  'subject_id uuid': ({ program }) => program,
  'person_id uuid': ({ friend }) => friend.id,
  'beneficiary_id uuid': ({ mentor }) => mentor.id,
  'click_id uuid': () => crypto.randomUUID(),
  'after uuid': ({ redemption }) => redemption,
  'after bigint': ({ saleNumber }) => saleNumber,
  'tax bigint': () => 1,
  'sale_number bigint': ({ saleNumber }) => saleNumber,
}

/** The arguments of an RPC, those that it requires, and each of these with each optional one that names something. */
export async function variantsOf(sql: Sql, staged: Stage, rpc: string): Promise<Args[]> {
  const args = calls[rpc]?.args(staged) ?? {}
  const rows = await sql`
    select a.name, format_type(a.type, null) as type, a.place <= p.pronargs - p.pronargdefaults as required
    from pg_proc as p, unnest(p.proargnames, p.proargtypes::oid[]) with ordinality as a (name, type, place)
    where p.pronamespace = 'referral'::regnamespace and p.proname = ${rpc}`
  const isRequired = (name: string) => rows.some((row) => row.name === name && row.required)
  const required = Object.fromEntries(Object.entries(args).filter(([name]) => isRequired(name)))
  const optional = rows
    .filter(({ name, type }) => !isRequired(name) && ['uuid', 'bigint'].includes(type))
    .map(({ name, type }) => {
      const value = named[`${name} ${type}`]
      if (!value) throw new Error(`${rpc}: say what the argument ${name} ${type} can name`)
      return { [name]: value(staged) }
    })
  return [args, required].flatMap((base) => [base, ...optional.map((one) => ({ ...base, ...one }))])
}

/** The RPCs that people may call. */
export async function rpcsOfPeople(sql: Sql): Promise<string[]> {
  const rows = await sql`
    select proname as name from pg_proc
    where pronamespace = 'referral'::regnamespace and has_function_privilege('authenticated', oid, 'execute')
    order by proname`
  return rows.map(({ name }) => String(name))
}
