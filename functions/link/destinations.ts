import type { Platform } from './device.ts'

/** What an organisation has stored about where its links lead. */
type Stored = {
  web_destination: string | null
  ios_destination: string | null
  android_destination: string | null
  android_package: string | null
}

/** What a visit adds to an address: the click, and the campaign. */
type Visit = { click: string | null; utm: Record<string, string> }

/** An address, given the visit that it is for. */
export type Destination = (visit: Visit) => string

/**
 * The places that the link of a code can lead to, each checked once more. A platform without a store of its own in the
 * settings goes to the web destination, and without that nowhere.
 */
export function destinationsOf(code: string, stored: Stored): Record<Platform, Destination | null> {
  // `ref`, not `code`, which auth clients take for a login.
  const ref = `ref=${encodeURIComponent(code)}`
  const android = stored.android_destination ?? playStoreOf(stored.android_package)
  const web = pageAt(stored.web_destination, ref)
  return {
    web,
    ios: appStoreAt(stored.ios_destination) ?? web,
    android: playStoreAt(android, ref) ?? web,
  }
}

/** A page: with `ref`, `click` and the campaign after what its query has. */
function pageAt(stored: string | null, ref: string): Destination | null {
  const url = safeUrl(stored)
  if (!url) return null
  const { head, hash } = open(url)
  return (visit) => {
    const more = queryOf(visit, (key) => !url.searchParams.has(key))
    return `${head}${ref}${more}${hash}`
  }
}

/** Apple’s store takes nothing along; who installs the app there types or pastes the code. */
function appStoreAt(stored: string | null): Destination | null {
  const url = safeUrl(stored)
  return url && (() => url.href)
}

/** Google’s store hands `referrer` to the app at its first start. Another place is a page like any other. */
function playStoreAt(stored: string | null, ref: string): Destination | null {
  const url = safeUrl(stored)
  if (url?.host !== 'play.google.com') return pageAt(stored, ref)
  url.searchParams.delete('referrer')
  const { head, hash } = open(url)
  return (visit) => {
    const referrer = `${ref}${queryOf(visit, () => true)}`
    return `${head}referrer=${encodeURIComponent(referrer)}${hash}`
  }
}

function playStoreOf(name: string | null): string | null {
  return name && `https://play.google.com/store/apps/details?id=${encodeURIComponent(name)}`
}

/** A stored address, if it is one that a link may lead to: https, and no user information. */
export function safeUrl(stored: string | null): URL | null {
  const url = stored === null ? null : URL.parse(stored)
  return url?.protocol === 'https:' && !url.username && !url.password ? url : null
}

/** The address up to where a parameter can follow. */
function open({ origin, pathname, search, hash }: URL): { head: string; hash: string } {
  return { head: `${origin}${pathname}${search ? `${search}&` : '?'}`, hash }
}

function queryOf({ click, utm }: Visit, isWanted: (key: string) => boolean): string {
  let query = click ? `&click=${click}` : ''
  for (const key in utm) {
    if (isWanted(key)) query += `&${key}=${encodeURIComponent(utm[key] ?? '')}`
  }
  return query
}
