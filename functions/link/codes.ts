import type { ReferralDatabase } from '../_shared/database.ts'
import { type Destination, destinationsOf } from './destinations.ts'
import type { Platform } from './device.ts'
import { createLookup } from './lookup.ts'

/** A code that can be redeemed, and what may be known of it. */
export type Code = {
  /** As it is shown. */
  code: string
  organisation: string
  program: string
  /** The referrer’s name, where they agreed to show it. */
  referrer: string | null
  /** The organisation’s link origin, where it has one. */
  origin: string | null
  destinations: Record<Platform, Destination | null>
}

/** Finds codes by what stands in a link. */
export function createCodeLookup(database: ReferralDatabase, now: () => number) {
  return createLookup<Code>({
    now,
    ask: async (text, patience) => {
      // By POST: a code is arbitrary text, which must arrive as it is.
      const { data } = await database
        .rpc('resolve_code', { code: text })
        .abortSignal(AbortSignal.timeout(patience))
        .throwOnError()
        .maybeSingle()
      if (!data?.code) return null
      return {
        code: data.code,
        organisation: data.organisation_name ?? '',
        program: data.program_name ?? '',
        referrer: data.referrer_name,
        origin: data.link_origin,
        destinations: destinationsOf(data.code, data),
      }
    },
  })
}
