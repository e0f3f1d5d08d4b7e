import type { Platform } from './device.ts'

/** What an organisation has stored about where its links lead. */
type Stored = {
  web_destination: string | null
  ios_destination: string | null
  android_destination: string | null
  android_package: string | null
}

/** What a redirect carries to the app or page. */
type Carried = { ref: string; click: string | null; utm: Record<string, string> }

/** An address, given what it is to carry. */
export type Destination = (carried: Carried) => string

/**
 * The places that a link can lead to, each checked once more. A platform without a store of its own in the settings goes
 * to the web destination, and without that nowhere.
 */
export function destinationsOf(stored: Stored): Record<Platform, Destination | null> {
  const web = pageAt(stored.web_destination)
  return {
    web,
    ios: appStoreAt(stored.ios_destination) ?? web,
    android: playStoreAt(stored.android_destination ?? playStoreOf(stored.android_package)) ?? web,
  }
}

/** A page: with `ref`, `click` and the campaign after what its query has. */
function pageAt(stored: string | null): Destination | null {
  const url = safeUrl(stored)
  if (!url) return null
  const { head, hash } = open(url)
  const has = (key: string) => url.searchParams.has(key)
  return ({ utm, ...carried }) => {
    const ours = Object.entries(utm).filter(([key]) => !has(key))
    return `${head}${queryOf(carried, ours)}${hash}`
  }
}

/** Apple’s store takes nothing along; who installs the app there types or pastes the code. */
function appStoreAt(stored: string | null): Destination | null {
  const url = safeUrl(stored)
  return url && (() => url.href)
}

/** Google’s store hands `referrer` to the app at its first start. Another place is a page like any other. */
function playStoreAt(stored: string | null): Destination | null {
  const url = safeUrl(stored)
  if (url?.host !== 'play.google.com') return pageAt(stored)
  url.searchParams.delete('referrer')
  const { head, hash } = open(url)
  return ({ utm, ...carried }) =>
    `${head}referrer=${encodeURIComponent(queryOf(carried, Object.entries(utm)))}${hash}`
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

/** `ref`, not `code`, which auth clients take for a login. */
function queryOf({ ref, click }: Omit<Carried, 'utm'>, utm: [string, string][]): string {
  const pairs = [['ref', ref], ...(click ? [['click', click]] : []), ...utm]
  return pairs.map(([key, value = '']) => `${key}=${encodeURIComponent(value)}`).join('&')
}
