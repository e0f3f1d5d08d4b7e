import type postgres from 'postgres'
import { CliError } from '../../cli/cli-error.ts'
import { amountMutations } from './amount-mutations.ts'
import { changeMutations } from './change-mutations.ts'
import { clickMutations } from './click-mutations.ts'
import { codeMutations } from './code-mutations.ts'
import { creditMutations } from './credit-mutations.ts'
import { decisionMutations } from './decision-mutations.ts'
import { eventMutations } from './event-mutations.ts'
import { healthMutations } from './health-mutations.ts'
import { identityMutations } from './identity-mutations.ts'
import { inboxMutations } from './inbox-mutations.ts'
import { knownMutations } from './known-mutations.ts'
import { unattributedMutations, verificationMutations } from './ledger-mutations.ts'
import { lockMutations } from './lock-mutations.ts'
import { moneyMutations } from './money-mutations.ts'
import { moneyRowMutations } from './money-row-mutations.ts'
import type { Mutation } from './mutation.ts'
import { oracleMutations } from './oracle-mutations.ts'
import { organisationMutations } from './organisation-mutations.ts'
import { planTextMutations } from './plan-mutations.ts'
import { privacyMutations } from './privacy-mutations.ts'
import { isolationMutations, roleMutations } from './role-mutations.ts'
import { refusalMutations, sessionMutations } from './session-mutations.ts'
import { signUpMutations } from './sign-up-mutations.ts'
import { storedMutations } from './stored-mutations.ts'
import { termsMutations } from './terms-mutations.ts'
import { waitingMutations } from './waiting-mutations.ts'

/** Replaces a text in a function of the database. It throws an error with the name of each mutation whose text is missing. */
export async function textMutations(sql: postgres.Sql): Promise<Mutation[]> {
  const mutations: Mutation[] = []
  const missing: string[] = []
  const all = [
    ...codeMutations,
    ...signUpMutations,
    ...lockMutations,
    ...identityMutations,
    ...roleMutations,
    ...isolationMutations,
    ...termsMutations,
    ...changeMutations,
    ...creditMutations,
    ...organisationMutations,
    ...privacyMutations,
    ...knownMutations,
    ...amountMutations,
    ...decisionMutations,
    ...eventMutations,
    ...inboxMutations,
    ...waitingMutations,
    ...moneyMutations,
    ...clickMutations,
    ...moneyRowMutations,
    ...verificationMutations,
    ...unattributedMutations,
    ...oracleMutations,
    ...sessionMutations,
    ...refusalMutations,
    ...healthMutations,
    ...planTextMutations,
    ...storedMutations,
  ]
  for (const { name, in: target, replace, by, all: everywhere, tests } of all) {
    const [row] = await sql`
      select pg_get_functiondef(to_regproc(${`referral_private.${target}`})) as text`
    const text = String(row?.text ?? '')
    if (!text.includes(replace))
      missing.push(`The mutation "${name}" finds no "${replace}" in ${target}.`)
    const changed = everywhere
      ? text.replaceAll(replace, () => by)
      : text.replace(replace, () => by)
    mutations.push({ name, sql: changed, ...(tests && { tests }) })
  }
  if (missing.length) throw new CliError(missing.join('\n'))
  return mutations
}
