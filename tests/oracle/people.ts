/** What the people of the organisations on one Stripe account did, by what it is looked up by. */
import type { Book } from './books.ts'
import { normalForm } from './code-forms.ts'
import { type Agreements, agreementsOf } from './terms.ts'
import type { Code, CodeState, Decision, Redemption, Time, World } from './world.ts'
import { wholeSecond } from './world.ts'

export type People = {
  redemptionsOf: (user: string) => Redemption[]
  redemption: (id: string) => Redemption | undefined
  code: (id: string) => Code | undefined
  named: (text: string) => Code | undefined
  statesOf: (code: Code) => CodeState[]
  /** Whether a UUID is somebody: who redeemed, was ever a member, or is known otherwise. */
  isKnown: (user: string) => boolean
  signedUpAt: (user: string) => Time | null
  decisions: Decision[]
  agreements: Agreements
  /** Whether there was more than one organisation. */
  areSeveral: (at: Time) => boolean
}

export function peopleOf(world: World, { stripeAccount }: Book): People {
  const organisations = world.organisations.filter((org) => org.stripeAccount === stripeAccount)
  const orgs = new Set(organisations.map(({ id }) => id))
  const redemptions = world.redemptions.filter(({ org }) => orgs.has(org))
  const codes = world.codes.filter(({ org }) => orgs.has(org))
  const byReferee = Map.groupBy(redemptions, ({ referee }) => referee)
  const byId = new Map(redemptions.map((redemption) => [redemption.id, redemption]))
  const codesById = new Map(codes.map((code) => [code.id, code]))
  const codesByText = new Map(codes.map((code) => [normalForm(code.code), code]))
  const states = Map.groupBy(world.codeStates, ({ code }) => code)
  const [, secondOne] = organisations
    .map(({ accountSince }) => accountSince)
    .toSorted((a, b) => a - b)
  const signUps = new Map(world.knownUsers.map(({ id, signedUpAt }) => [id, signedUpAt]))
  const known = new Set([
    ...signUps.keys(),
    ...world.redemptions.map(({ referee }) => referee),
    ...world.members,
  ])
  return {
    redemptionsOf: (user) => byReferee.get(user) ?? [],
    redemption: (id) => byId.get(id),
    code: (id) => codesById.get(id),
    named: (text) => codesByText.get(text),
    statesOf: ({ id }) => states.get(id) ?? [],
    isKnown: (user) => known.has(user),
    signedUpAt: (user) => signUps.get(user) ?? null,
    decisions: world.decisions.filter(({ org }) => orgs.has(org)),
    agreements: agreementsOf(world),
    areSeveral: (at) => secondOne !== undefined && wholeSecond(secondOne) <= at,
  }
}
