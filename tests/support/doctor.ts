/** Installations for `referbase doctor`, and what it says of them. */
import { expect, inject } from 'vitest'
import type { ReferralDatabase } from '../../cli/database.ts'
import type { Line } from '../../cli/doctor/line.ts'
import { type Alter, startAltered } from './altered.ts'
import { referbaseHere } from './cli.ts'
import { ownApi } from './own-api.ts'
import type { Ended } from './processes.ts'

type Check = Line & { group: string }

/** The checks by their names, and the names of those that are wrong. */
export function checksOf({ code, stdout, stderr }: Ended) {
  expect(stderr).toBe('')
  const { ok, checks } = JSON.parse(stdout) as { ok: boolean; checks: Check[] }
  expect([ok, code]).toEqual(ok ? [true, 0] : [false, 1])
  const checked = Object.fromEntries(checks.map((check) => [check.check, check]))
  const wrong = checks.filter(({ state }) => state === 'wrong').map(({ check }) => check)
  return { checked, wrong }
}

/** The checks of an environment, as this process finds them. */
export const examine = async (env: Record<string, string>, ...args: string[]) =>
  checksOf(await referbaseHere(['doctor', '--json', ...args], env))

export const asItIs: Alter = (_, pass) => pass()

/**
 * A project with one organisation that is set up, in which nothing ran yet. Its API is the file's own; the functions are those of
 * the run's stack. `local` is its environment; `hosted` the same at an address that is not of this machine, where
 * `examineAltered` alters something.
 */
export async function installation() {
  const { sql, environment, database: operator, databaseUrl } = await ownApi()
  const stack = inject('stack')
  const target = (path: string) =>
    path.startsWith('/functions/') ? stack.SUPABASE_URL : environment.SUPABASE_URL
  const near = await startAltered(target)
  const project = await startAltered(target, '127.0.0.2')
  const local: Record<string, string> = { ...environment, SUPABASE_URL: near.url }
  const hosted = { ...local, SUPABASE_URL: project.url }
  const examineAltered = (alter: Alter, env: Record<string, string> = {}, ...args: string[]) => {
    project.alter = alter
    return examine({ ...hosted, ...env }, ...args)
  }
  const orgId = await organisation(operator)
  return { sql, operator, orgId, local, project, databaseUrl, examineAltered }
}

/** An organisation that is set up. */
export async function organisation(operator: ReferralDatabase): Promise<string> {
  const admin_id = crypto.randomUUID()
  const slug = `app-${crypto.randomUUID()}`
  const made = await operator
    .rpc('create_organisation', { name: 'My app', slug, admin_id })
    .throwOnError()
  const org_id = made.data.id
  const changes = { web_destination: 'https://app.test/' }
  await operator.rpc('update_organisation', { org_id, changes }).throwOnError()
  const terms = { enrolment: 'open', commission: { kind: 'percent', bps: 2000 } }
  await operator
    .rpc('create_program', { org_id, key: 'friends', name: 'Friends', terms })
    .throwOnError()
  await operator.rpc('create_code', { org_id, referrer_id: admin_id }).throwOnError()
  return org_id
}
