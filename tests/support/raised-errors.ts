/** Which errors each RPC can raise, from the text of the functions that it calls, directly and through others. */
import type { Sql } from './database.ts'

type Source = { name: string; body: string; config: string[] | null }

/** The errors of each public function, by its name. */
export async function raisedErrors(sql: Sql): Promise<Map<string, Set<string>>> {
  const sources = await sql<Source[]>`
    select p.proname as name, p.prosrc as body, p.proconfig as config
    from pg_proc as p where p.pronamespace = 'referral_private'::regnamespace`
  const registry = new Set(
    (await sql`select code from referral_private.error_registry()`).map(({ code }) => code),
  )
  const byName = new Map(sources.map((source) => [source.name, source]))
  const rpcs = await sql`
    select proname as name, has_function_privilege('authenticated', oid, 'execute') as people,
      has_function_privilege('service_role', oid, 'execute') as operator
    from pg_proc where pronamespace = 'referral'::regnamespace`
  return new Map(
    rpcs.map(({ name, people, operator }) => {
      const unmet = [...(people ? [] : ofPeople), ...(operator ? [] : ofOperator)]
      const codes = reachedFrom(name, byName).flatMap((source) => {
        const own = ownErrors(source, byName)
        return source.name === name ? own : own.filter((code) => !unmet.includes(code))
      })
      return [name, new Set(codes.filter((code) => registry.has(code)))]
    }),
  )
}

/** Errors that only people meet in a function that is called, and only the operator. */
const ofPeople = ['not_signed_in', 'anonymous_user', 'not_a_member', 'not_allowed']
const ofOperator = ['organisation_not_found']

/** A function, and all that it calls. */
function reachedFrom(name: string, byName: Map<string, Source>): Source[] {
  const reached = new Map<string, Source>()
  const visit = (called: string) => {
    const source = byName.get(called)
    if (!source || reached.has(called)) return
    reached.set(called, source)
    for (const [, next] of source.body.matchAll(/referral_private\.(\w+)\(/g)) visit(String(next))
  }
  visit(name)
  return [...reached.values()]
}

/** Constraints that a function can violate by what it writes, with the error that `raise_violation` raises. */
const constraints: Record<string, [written: RegExp, code: string]> = {
  organisations_slug_is_unique: [/insert into referral\.organisations/, 'organisation_exists'],
  organisations_stripe_account_is_unique: [/set stripe_account_id =/, 'stripe_account_taken'],
  organisations_link_origin_is_unique: [/link_origin = v_new/, 'link_origin_taken'],
  programs_key_is_unique: [/insert into referral\.programs/, 'program_exists'],
  codes_one_active: [/insert into referral\.codes \([^)]*\breferrer_id\b/, 'active_code_exists'],
}

/** Texts of callers that a constraint checks where they are stored. */
const checkedTexts =
  /(insert into|update) referral\.[^;]*\bp_(reason|description|name|slug|display_name|channel|text)\b/

/** What the text of one function raises: named errors, the refusals of a function that it asks, and violated constraints. */
function ownErrors({ body, config }: Source, byName: Map<string, Source>): string[] {
  const codes: string[] = []
  for (const [, call = ''] of body.matchAll(/raise_error\(([^;]*);/g)) codes.push(...literals(call))
  if (body.includes('raise_error(v_refusal)')) {
    for (const [, asked = ''] of body.matchAll(/referral_private\.(\w+_refusal)\(/g)) {
      codes.push(...literals(byName.get(asked)?.body ?? ''))
    }
  }
  for (const [written, code] of Object.values(constraints)) if (written.test(body)) codes.push(code)
  if (checkedTexts.test(body)) codes.push('invalid_argument')
  if (config?.some((setting) => setting.startsWith('lock_timeout='))) codes.push('busy')
  return codes
}

const literals = (text: string) => [...text.matchAll(/'(\w+)'/g)].map(([, code]) => String(code))
