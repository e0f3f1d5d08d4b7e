/** Whose sale it is, and which evidence wins it: the first that is not passed over. */
import type { Book } from './books.ts'
import { priorities, sayingsOf } from './carried.ts'
import { forfeitsOf, isRejected } from './decisions.ts'
import { type Candidate, judgesOf } from './judging.ts'
import { namingOf } from './naming.ts'
import { sorted } from './order.ts'
import { type Payer, payersOf } from './payers.ts'
import { type Payment, paymentsOf } from './payments.ts'
import type { People } from './people.ts'
import { referencesOf } from './references.ts'
import { isOwn, type Sale, salesOf } from './sales.ts'
import { customersIn } from './stripe-objects.ts'
import { type Decision, type Time, wholeSecond } from './world.ts'

export type Won = {
  sale: Sale
  evidence: Candidate
  /** Whom the referral is of: the person, or a payer without one. */
  person: string
  /** To whom the program gives its reward. */
  referee: string | null
  /** Why the winner earns nothing by the sale, and what it does not count for either. */
  ended: 'rejected' | 'no_earner' | 'guest' | null
  forfeited: boolean
}
export type Outcome = { won: Won[]; unattributed: { sale: Sale; reason: string }[] }

const unknown = 'organisation_unknown'

/** Who wins each sale of a book, and why nobody wins the others. */
export function winnersOf(book: Book, people: People): Outcome {
  const sayings = sayingsOf(book)
  const references = referencesOf(book)
  const byId = paymentsOf(book)
  const payments = [...byId.values()]
  const sales = salesOf(book, byId, references)
  const payers = payersOf(book, sayings, { payments, sales, references }, people)
  const naming = namingOf(sayings, payments, references, people)
  const own = payments.filter((payment) => isOwn(payment, references))
  const candidatesOf = judgesOf(sayings, { payers, own, sales }, naming, people)

  const isPayer = payerIn(book)
  const countingFor = (of: Payment) =>
    candidatesOf(of).filter(
      ({ passedOver, priority, at }) =>
        passedOver === null && !(priority === priorities.paymentLink && people.areSeveral(at)),
    )

  /** Its own organisation, else where the first sale of its subscription went that went to one, by evidence in time. */
  const orgOf = (sale: Payment): string | null => {
    const named = naming.org(sale)
    if (named !== null) return named
    const upTo = naming.upTo(sale)
    const isKnown = (org: string | null) => org !== null && org !== unknown
    const went = upTo.map((of) => byEvidence(countingFor(of), (at) => at <= wholeSecond(of.paidAt)))
    const first = went.find(isKnown) ?? went.at(-1)
    if (first) return first
    const later = upTo.filter((_, n) => went[n] === null).map((of) => byEvidence(countingFor(of)))
    return later.find(isKnown) ?? later.at(-1) ?? null
  }
  const namesOf = (sale: Sale) => [sale.payer, sale.id, ...(references.paying.get(sale.id) ?? [])]
  const outcomes = sales.map((sale) => {
    const org = orgOf(sale)
    if (org === unknown) return { sale, reason: unknown }
    const candidates = candidatesOf(sale).filter((of) => (org === null ? true : of.org === org))
    const inOrder = sorted(candidates, (of) => [of.boundAt, of.priority, of.id, of.at])
    const winner = org === null ? undefined : inOrder.find(({ passedOver }) => passedOver === null)
    if (winner)
      return wonBy(
        winner,
        sale,
        payers.get(sale.payer) as Payer,
        (of) => namesOf(sale).some((name) => isPayer(of, name)),
        people,
      )
    return {
      sale,
      reason: inOrder.flatMap(({ passedOver }) => passedOver ?? [])[0] ?? 'no_evidence',
    }
  })
  return {
    won: outcomes.filter((outcome): outcome is Won => 'evidence' in outcome),
    unattributed: outcomes.filter((outcome) => 'reason' in outcome),
  }
}

/** The organisation of this evidence, or of what of it was bound in time; of several, nobody knows. */
function byEvidence(evidence: Candidate[], inTime: (boundAt: Time) => boolean = () => true) {
  const bound = evidence.filter(({ boundAt }) => inTime(boundAt))
  const [org = null, ...others] = new Set(bound.map((of) => of.org))
  return others.length ? unknown : org
}

type Named = Decision['payers'][0]

/** Whether a decision names a payer; it may name the customer's account. */
function payerIn(book: Book): (of: Named, payer: string) => boolean {
  const customerOf = customersIn(book)
  return ({ stripeAccount, livemode, payer: named }, payer) =>
    stripeAccount === book.stripeAccount &&
    livemode === book.livemode &&
    customerOf({ customer: null, customer_account: named }) === payer
}

function wonBy(
  evidence: Candidate,
  sale: Sale,
  payer: Payer,
  isPayer: (of: Named) => boolean,
  people: People,
): Won {
  const { redemption, earner, terms } = evidence
  const { person } = payer
  const ended = () => {
    if (isRejected(people.decisions, evidence, { person, isPayer })) return 'rejected'
    if (earner === null) return 'no_earner'
    return sale.guest && terms.guests === false ? 'guest' : null
  }
  const forfeits = forfeitsOf(people.decisions, evidence, wholeSecond(sale.paidAt))
  return {
    sale,
    evidence,
    person: person ?? payer.id,
    referee: redemption?.referee ?? person,
    ended: ended(),
    forfeited: forfeits.length > 0,
  }
}
