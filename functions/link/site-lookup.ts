import type { DataApi } from '../_shared/data-api.ts'
import { createCachedLookup } from './cached-lookup.ts'
import { safeUrl } from './destinations.ts'

/** The organisation that owns a link host, with its apps. */
export type Site = {
  /** The web destination, which is the fallback URL of the host’s links. */
  web: string | null
  ios_app_ids: string[]
  android_package: string | null
  android_fingerprints: string[]
}

/** Looks up the organisation that owns a link host. */
export function createSiteLookup(database: DataApi, now: () => number) {
  return createCachedLookup<Site>({
    now,
    fetchRow: async (host, timeout) => {
      const { data, error } = await database('link_site', { host }, timeout)
      if (error) throw error
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
