/** Evidence: what a payer carries, whom it credits, and why that earns nothing, where it does not. */
import type { Book } from './books.ts'
import { type Carried, type Carrying, priorities } from './carried.ts'
import { normalForm } from './code-forms.ts'
import { greatest } from './order.ts'
import type { Agreed, Agreements } from './terms.ts'
import { type Code, day, type Redemption, type Time, type World, wholeSecond } from './world.ts'

export type Evidence = {
  /** The redemption's id, or the code's. */
  id: string
  priority: number
  at: Time
  /** What the conversion window counts from. */
  since: Time
  org: string
  program: string
  agreed: Agreed
  /** Null of a campaign code, which nobody owns. */
  earner: string | null
  referee: string | null
  redemption: Redemption | null
  refusal: string | null
}

/** What the people of organisations on one Stripe account did, by what it is looked up by. */
export type People = {
  redemptionsOf: (user: string) => Redemption[]
  redemption: (id: string) => Redemption | undefined
  code: (id: string) => Code | undefined
  named: (text: string) => Code | undefined
  bornAt: (user: string) => Time
  agreements: Agreements
}

export function peopleOf(world: World, { stripeAccount }: Book, agreements: Agreements): People {
  const orgs = new Set(
    world.organisations.filter((org) => org.stripeAccount === stripeAccount).map(({ id }) => id),
  )
  const redemptions = world.redemptions.filter(({ org }) => orgs.has(org))
  const codes = world.codes.filter(({ org }) => orgs.has(org))
  const byReferee = Map.groupBy(redemptions, ({ referee }) => referee)
  const byId = new Map(redemptions.map((redemption) => [redemption.id, redemption]))
  const codesById = new Map(codes.map((code) => [code.id, code]))
  const codesByText = new Map(codes.map((code) => [normalForm(code.code), code]))
  const users = new Map(world.users.map(({ id, createdAt }) => [id, createdAt]))
  return {
    redemptionsOf: (user) => byReferee.get(user) ?? [],
    redemption: (id) => byId.get(id),
    code: (id) => codesById.get(id),
    named: (text) => codesByText.get(text),
    bornAt: (user) => users.get(user) ?? -Infinity,
    agreements,
  }
}

/** All evidence of a payer, given with everything that carries something for it. */
export function evidenceOf(names: Set<string>, carried: Carried, people: People): Evidence[] {
  const users = [...names].flatMap((name) => carried.users.get(name) ?? []).map(({ user }) => user)
  const distinct = [...new Set(users)].toSorted()
  const carryings = [...names].flatMap((name) => carried.carryings.get(name) ?? [])
  return [...redeemed(distinct, carryings, people), ...coded(distinct, carryings, people)]
}

/** Redemptions by the payer's users, and those that its objects name. */
function redeemed(users: string[], carryings: Carrying[], people: People): Evidence[] {
  const own = users.flatMap(people.redemptionsOf)
  const named = carryings
    .filter(({ priority }) => priority === priorities.redemption)
    .flatMap((carrying) => people.redemption(carrying.named) ?? [])
  return [...new Set([...own, ...named])].flatMap((redemption) => {
    const code = people.code(redemption.code)
    const agreed = people.agreements.version(redemption.program, redemption.version)
    if (!code || !agreed) return []
    return {
      id: redemption.id,
      priority: own.includes(redemption) ? priorities.redeemed : priorities.redemption,
      at: wholeSecond(redemption.redeemedAt),
      since: redemption.redeemedAt,
      org: redemption.org,
      program: redemption.program,
      agreed,
      earner: code.beneficiary ?? redemption.referrer,
      referee: redemption.referee,
      redemption,
      refusal: whyNoRedemption(redemption, code, users),
    }
  })
}

function whyNoRedemption(redemption: Redemption, code: Code, users: string[]): string | null {
  if (redemption.decision === 'rejected') return 'rejected'
  const earning = [redemption.referrer, code.beneficiary]
  const isSelf =
    redemption.referee === code.beneficiary || users.some((user) => earning.includes(user))
  return isSelf ? 'self_referral' : null
}

/** Codes, each once for each way in which it was carried: at the first time. */
function coded(users: string[], carryings: Carrying[], people: People): Evidence[] {
  const ways = Map.groupBy(
    carryings.filter(({ priority }) => priority > priorities.redemption),
    ({ priority, named }) => `${priority} ${named}`,
  )
  return [...ways.values()].flatMap((way) => {
    const first = greatest(way, ({ at }) => [-at])
    const code = people.named(first?.named ?? '')
    if (!first || !code || wholeSecond(code.createdAt) > first.at) return []
    const { org, program } = code
    const agreed = people.agreements.at(org, program, first.at)
    if (!agreed) return []
    return {
      id: code.id,
      priority: first.priority,
      at: first.at,
      since: first.at,
      org,
      program,
      agreed,
      earner: code.beneficiary ?? code.referrer,
      referee: users[0] ?? null,
      redemption: null,
      refusal: whyNoCode(code, users, first.at, agreed, people),
    }
  })
}

function whyNoCode(code: Code, users: string[], at: Time, { terms }: Agreed, people: People) {
  const { referrer } = code
  if (users.some((user) => [referrer, code.beneficiary, code.creator].includes(user)))
    return 'self_referral'
  const theirs = referrer === null ? [] : people.redemptionsOf(referrer)
  if (theirs.some((redemption) => isMutual(redemption, code, users, at))) return 'mutual_referral'
  const days = terms.new_users_only_days
  if (days !== undefined && !areNew(users, at - days * day, people)) return 'new_users_only'
  return null
}

/** The code's referrer has redeemed a code of the payer's in the same program before. */
const isMutual = (theirs: Redemption, code: Code, users: string[], at: Time) =>
  theirs.program === code.program &&
  theirs.referrer !== null &&
  users.includes(theirs.referrer) &&
  wholeSecond(theirs.redeemedAt) <= at

/** The payer is known, and every user that it is signed up no earlier than that. */
const areNew = (users: string[], since: Time, { bornAt }: People) =>
  users.length > 0 && users.every((user) => bornAt(user) >= since)
