import type { ReferralDatabase } from '../_shared/database.ts'
import { type Code, createCodeLookup } from './codes.ts'
import { createLimiter } from './limiter.ts'
import type { Found } from './lookup.ts'
import { createSiteLookup, type Site } from './sites.ts'
import type { Visitor } from './visitor.ts'

/** A minute’s look-ups whose answers are not remembered, for one network and for one instance. */
const limits = { perNetwork: 120, perInstance: 3_000 }

export type Finder = {
  /** The code, if it can be redeemed and its links may be on the visitor’s host. */
  codeOf: (text: string, visitor: Visitor) => Found<Code> | Promise<Found<Code>>
  /** The organisation whose links are on the visitor’s host; none on the shared host. */
  siteOf: (visitor: Visitor) => Promise<Found<Site>>
}

/** Finds what a link needs of the database, within the limits. */
export function createFinder(database: ReferralDatabase, now: () => number): Finder {
  const mayAsk = createLimiter({ ...limits, now })
  const codes = createCodeLookup(database, now)
  const sites = createSiteLookup(database, now)

  const siteOf = async ({ host, network }: Visitor) =>
    host === null ? { row: null } : sites(host, () => mayAsk(network))

  const codeOnHost = async (code: ReturnType<typeof codes>, visitor: Visitor) => {
    const asked = siteOf(visitor)
    const found = await code
    if (typeof found === 'string' || found.row?.origin === `https://${visitor.host}`) return found
    // A host of nobody’s is shared by all; on an organisation’s own host others’ codes are none.
    const site = await asked
    return typeof site === 'string' ? site : site.row ? { row: null } : found
  }

  return {
    siteOf,
    codeOf: (text, visitor) => {
      const code = codes(text, () => mayAsk(visitor.network))
      return visitor.host === null ? code : codeOnHost(code, visitor)
    },
  }
}
