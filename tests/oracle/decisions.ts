/** What decisions of staff end: rejected referrals, and what earners and codes have forfeited. */
import type { Evidence } from './evidence.ts'
import type { Decision, Redemption, Time } from './world.ts'

/** A rejection names the person, a payer, or the referee of the redemption that wins. */
export const isRejected = (
  decisions: Decision[],
  { program, redemption }: Pick<Evidence, 'program' | 'redemption'>,
  by: { person: string | null; isPayer: (payer: Decision['payers'][0]) => boolean },
): boolean =>
  decisions.some(
    (decision) =>
      decision.kind === 'reject' &&
      decision.program === program &&
      (isOf(decision, by.person) ||
        isOf(decision, redemption?.referee ?? null) ||
        decision.payers.some(by.isPayer)),
  )

const isOf = ({ person }: Decision, user: string | null) => person !== null && person === user

/** The forfeits that cover a sale of a time: of the earner, the referrer, or the chain of the code. */
export const forfeitsOf = (
  decisions: Decision[],
  { org, earner, code }: Pick<Evidence, 'org' | 'earner' | 'code'>,
  paidAt: Time,
): Decision[] =>
  decisions.filter(
    ({ kind, org: within, member, chain, since, until }) =>
      kind === 'forfeit' &&
      within === org &&
      ((member !== null && [earner, code.referrer].includes(member)) || chain === code.chain) &&
      (since ?? -Infinity) <= paidAt &&
      paidAt < (until ?? Infinity),
  )

/** How staff decided on a redemption; a rejection is the last word. */
export function decidedOn(decisions: Decision[], redemption: Redemption) {
  const { id, program, referee } = redemption
  const isRejection = (of: Decision) =>
    of.kind === 'reject' && (of.redemption === id || (of.program === program && isOf(of, referee)))
  if (decisions.some(isRejection)) return 'rejected'
  return decisions.some((of) => of.kind === 'confirm' && of.redemption === id) ? 'confirmed' : null
}
