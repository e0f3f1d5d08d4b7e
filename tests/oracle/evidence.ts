/** Evidence: what the payers of one person carry, whom it credits, and why it can never earn, where it cannot. */
import { priorities, type Saying } from './carried.ts'
import type { Payer } from './payers.ts'
import type { People } from './people.ts'
import type { Agreed } from './terms.ts'
import { isUsable } from './usable.ts'
import { type Code, day, type Redemption, type Time, wholeSecond } from './world.ts'

export type Evidence = {
  /** The redemption's id, or the code's. */
  id: string
  priority: number
  at: Time
  org: string
  program: string
  code: Code
  redemption: Redemption | null
  /** Null where the program was switched off. */
  agreed: Agreed | null
  /** Null of a campaign code, which nobody owns. */
  earner: string | null
  /** Since when it counts for a payer: its time, or the last of the links through which it gets there. */
  bound: (payer: Payer) => Time
}

/** All evidence of the payers of one person; of nobody's, of a payer by itself. Sayings are given by carrier. */
export function evidenceOf(
  group: Payer[],
  sayings: Map<string, Saying[]>,
  people: People,
): Evidence[] {
  const person = group[0]?.person ?? null
  const own = person === null ? [] : people.redemptionsOf(person)
  const redeemed = own.flatMap((redemption) => {
    const at = wholeSecond(redemption.redeemedAt)
    const bound = ({ linkedAt }: Payer) => Math.max(at, linkedAt)
    return redemptionOf(redemption, priorities.redeemed, bound, people)
  })
  const carriers = group.flatMap((payer) => [...payer.carriers])
  const theirs = new Set(carriers.flatMap((carrier) => sayings.get(carrier) ?? []))
  const carried = [...theirs].flatMap((saying) => {
    const holders = group.filter((payer) => saying.carriers.some((of) => payer.carriers.has(of)))
    return saying.names.flatMap(({ priority, named }) => {
      if (priority !== priorities.redemption)
        return codeOf(named, priority, saying.at, reaching(saying.at, holders), people)
      const redemption = people.redemption(named)
      if (!redemption) return []
      // The id is a link to the referee, too: as one, it counts from the object on.
      const at = Math.max(wholeSecond(redemption.redeemedAt), saying.at)
      const bound = reaching(at, holders)
      return redemptionOf(redemption, priority, bound, people)
    })
  })
  return [...redeemed, ...carried]
}

/** What is carried for one payer reaches another one of the same person through the links of both. */
const reaching =
  (at: Time, holders: Payer[]) =>
  (payer: Payer): Time =>
    holders.includes(payer)
      ? at
      : Math.max(at, payer.linkedAt, Math.min(...holders.map(({ linkedAt }) => linkedAt)))

function redemptionOf(
  redemption: Redemption,
  priority: number,
  bound: Evidence['bound'],
  people: People,
): Evidence[] {
  const { id, org, program, version, redeemedAt, referrer } = redemption
  const code = people.code(redemption.code)
  const agreed = people.agreements.version(program, version)
  if (!code || !agreed) return []
  const earner = code.beneficiary ?? referrer
  const at = wholeSecond(redeemedAt)
  return [{ id, priority, at, org, program, code, redemption, agreed, earner, bound }]
}

function codeOf(
  named: string,
  priority: number,
  at: Time,
  bound: Evidence['bound'],
  people: People,
): Evidence[] {
  const code = people.named(named)
  if (!code) return []
  const { id, org, program } = code
  const agreed = people.agreements.at(org, program, at)
  const earner = code.beneficiary ?? code.referrer
  return [{ id, priority, at, org, program, code, redemption: null, agreed, earner, bound }]
}

/** Why evidence counts for no purchase of a person, whoever pays; null if it can. */
export function whyNever(of: Evidence, person: string | null, people: People): string | null {
  const { at, code, redemption, agreed } = of
  if (agreed === null) return 'program_inactive'
  if (redemption === null && !isUsable(people.statesOf(code), at)) return 'code_unusable'
  const users = [person, redemption?.referee ?? null].filter((user) => user !== null)
  const interested = [of.earner, code.referrer, code.beneficiary, code.creator]
  if (users.some((user) => interested.includes(user))) return 'self_referral'
  if (redemption !== null) return null
  if (person !== null && isMutual(code, person, at, people)) return 'mutual_referral'
  const days = agreed.terms.new_users_only_days
  const signedUpAt = person === null ? null : people.signedUpAt(person)
  const isNew = days === undefined || (signedUpAt ?? -Infinity) >= at - days * day
  return isNew ? null : 'new_users_only'
}

/** The code's referrer has redeemed a code of the person's in the same program before. */
const isMutual = ({ referrer, program }: Code, person: string, at: Time, people: People) =>
  (referrer === null ? [] : people.redemptionsOf(referrer)).some(
    (theirs) =>
      theirs.program === program &&
      theirs.referrer === person &&
      wholeSecond(theirs.redeemedAt) <= at,
  )
