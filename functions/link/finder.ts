import type { DataApi } from '../_shared/data-api.ts'
import type { Found } from './cached-lookup.ts'
import { type Code, createCodeLookup } from './code-lookup.ts'
import { createLimiter } from './limiter.ts'
import { createSiteLookup, type Site } from './site-lookup.ts'
import type { Visitor } from './visitor.ts'

/** Look-ups per minute that are not cached, for one network and for one instance. */
const limits = { perNetwork: 120, perInstance: 3_000 }

export type Finder = {
  /** The code, if it can be redeemed and the visitor’s link host serves it. */
  codeOf: (text: string, visitor: Visitor) => Found<Code> | Promise<Found<Code>>
  /** The organisation that owns the visitor’s link host; none on the shared host. */
  siteOf: (visitor: Visitor) => Promise<Found<Site>>
}

/** Looks up codes and link hosts in the database, within the limits. `isLocal`: see `createCodeLookup`. */
export function createFinder(database: DataApi, now: () => number, isLocal: boolean): Finder {
  const mayQuery = createLimiter({ ...limits, now })
  const codes = createCodeLookup(database, now, isLocal)
  const sites = createSiteLookup(database, now)

  const siteOf = async ({ host, network }: Visitor) =>
    host === null ? { row: null } : sites(host, () => mayQuery(network))

  const codeOnHost = async (code: ReturnType<typeof codes>, visitor: Visitor) => {
    const pendingSite = siteOf(visitor)
    const found = await code
    if (typeof found === 'string' || found.row?.origin === `https://${visitor.host}`) return found
    // A host without an organisation serves every code, an organisation’s own host only its codes.
    const site = await pendingSite
    return typeof site === 'string' ? site : site.row ? { row: null } : found
  }

  return {
    siteOf,
    codeOf: (text, visitor) => {
      const code = codes(text, () => mayQuery(visitor.network))
      return visitor.host === null ? code : codeOnHost(code, visitor)
    },
  }
}
