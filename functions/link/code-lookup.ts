import type { DataApi } from '../_shared/data-api.ts'
import { createCachedLookup } from './cached-lookup.ts'
import { type Destination, destinationsOf } from './destinations.ts'
import type { Platform } from './device.ts'

/** A code that can be redeemed, with its public fields. */
export type Code = {
  /** The code as people see it, with hyphens. */
  code: string
  organisation: string
  program: string
  /** The referrer’s name, if they made it public. */
  referrer: string | null
  /** The organisation’s link origin, or null. */
  origin: string | null
  destinations: Record<Platform, Destination | null>
}

/** Looks up codes by the text in a link. If `isLocal`, they lead to pages on the visitor’s own machine, too. */
export function createCodeLookup(database: DataApi, now: () => number, isLocal: boolean) {
  return createCachedLookup<Code>({
    now,
    fetchRow: async (text, timeout) => {
      const { data, error } = await database('resolve_code', { code: text }, timeout)
      if (error) throw error
      if (!data?.code) return null
      return {
        code: data.code,
        organisation: data.organisation_name ?? '',
        program: data.program_name ?? '',
        referrer: data.referrer_name,
        origin: data.link_origin,
        destinations: destinationsOf(data.code, data, isLocal),
      }
    },
  })
}
