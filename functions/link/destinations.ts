import type { Platform } from './device.ts'

/** The destinations that an organisation has stored. */
type Stored = {
  web_destination: string | null
  ios_destination: string | null
  android_destination: string | null
  android_package: string | null
}

/** The parameters that a visit adds to a destination. */
type Visit = { click: string | null; utm: Record<string, string> }

/** Returns the URL for a visit. */
export type Destination = (visit: Visit) => string

/**
 * The destinations of a code’s link, each validated again. A platform without a destination of its own gets the web
 * destination, or null if there is none. Only an `isLocal` function leads to a web page on the visitor’s own machine.
 */
export function destinationsOf(
  code: string,
  stored: Stored,
  isLocal = false,
): Record<Platform, Destination | null> {
  // `ref`, not `code`: auth clients read `code` as a login code.
  const ref = `ref=${encodeURIComponent(code)}`
  const android = stored.android_destination ?? playStoreOf(stored.android_package)
  const page =
    safeUrl(stored.web_destination) ?? (isLocal ? localUrl(stored.web_destination) : null)
  const web = pageAt(page, ref)
  return {
    web,
    ios: appStoreAt(stored.ios_destination) ?? web,
    android: playStoreAt(android, ref) ?? web,
  }
}

/** A web page. `ref`, `click` and the campaign follow its own query. */
function pageAt(url: URL | null, ref: string): Destination | null {
  if (!url) return null
  const { head, hash } = open(url)
  return (visit) => {
    const more = queryOf(visit, (key) => !url.searchParams.has(key))
    return `${head}${ref}${more}${hash}`
  }
}

/** Apple’s store passes no parameters on. The person types or pastes the code in the app. */
function appStoreAt(stored: string | null): Destination | null {
  const url = safeUrl(stored)
  return url && (() => url.href)
}

/** Google’s store passes `referrer` to the app at its first start. Any other URL is a web page. */
function playStoreAt(stored: string | null, ref: string): Destination | null {
  const url = safeUrl(stored)
  if (url?.host !== 'play.google.com') return pageAt(url, ref)
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

/** The stored URL if a link may redirect to it: https, without user information. */
export function safeUrl(stored: string | null): URL | null {
  const url = stored === null ? null : URL.parse(stored)
  return url?.protocol === 'https:' && !url.username && !url.password ? url : null
}

/** Whether the host is the machine that asks. */
export function isOwnMachine({ hostname }: URL): boolean {
  return hostname === 'localhost' || hostname === '127.0.0.1'
}

/** The stored URL if it is an http page on the visitor’s own machine, such as a development server. */
function localUrl(stored: string | null): URL | null {
  const url = stored === null ? null : URL.parse(stored)
  return url?.protocol === 'http:' && isOwnMachine(url) && !url.username && !url.password
    ? url
    : null
}

/** Splits a URL at the place where a parameter can follow. */
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
