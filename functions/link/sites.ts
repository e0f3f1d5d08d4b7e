import type { ReferralDatabase } from '../_shared/database.ts'
import { safeUrl } from './destinations.ts'
import { createLookup } from './lookup.ts'

/** What the links of a host belong to: one organisation, with its apps. */
export type Site = {
  /** Where its links lead that cannot be redeemed. */
  web: string | null
  ios_app_ids: string[]
  android_package: string | null
  android_fingerprints: string[]
}

/** Finds the organisation whose links are on a host. */
export function createSiteLookup(database: ReferralDatabase, now: () => number) {
  return createLookup<Site>({
    now,
    ask: async (host, patience) => {
      const { data } = await database
        .rpc('link_site', { host })
        .abortSignal(AbortSignal.timeout(patience))
        .throwOnError()
        .maybeSingle()
      if (!data?.link_origin) return null
      return {
        web: safeUrl(data.web_destination)?.href ?? null,
        ios_app_ids: data.ios_app_ids ?? [],
        android_package: data.android_package,
        android_fingerprints: data.android_fingerprints ?? [],
      }
    },
  })
}
