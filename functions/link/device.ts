import { isbot } from 'isbot'
import { remember } from './remember.ts'

/** Where somebody can install an app from: Apple’s store, Google’s, or neither. */
export type Platform = 'ios' | 'android' | 'web'

export type Device = {
  platform: Platform
  /** Not a crawler, not a program that draws a preview, and not one that does not say what it is. */
  person: boolean
}

/** Android without Google’s store (Amazon’s tablets, Huawei’s phones), and those who only claim to be Android. */
const withoutPlayStore = /\bSilk\/|\bKF[A-Z]{2,6}\b|HarmonyOS|Windows Phone|IEMobile|Tizen|KAIOS/

/**
 * What a link is opened on, by the user agent; the client hint tells a tablet that asks for desktop pages. Programs get the
 * web destination, which has the preview. An iPad whose browser says that it is a Mac cannot be told from one, and gets the
 * web destination too, whose page can ask for `navigator.maxTouchPoints`.
 */
export function deviceOf(userAgent: string, headers: Headers): Device {
  const { person, hasStore, platform } = said(userAgent.slice(0, 512))
  if (!person || !hasStore) return { person, platform: 'web' }
  const isHinted = platform === 'web' && headers.get('sec-ch-ua-platform') === '"Android"'
  return { person, platform: isHinted ? 'android' : platform }
}

const said = remember(1_000, (userAgent): Device & { hasStore: boolean } => ({
  person: userAgent !== '' && !isbot(userAgent),
  hasStore: !withoutPlayStore.test(userAgent),
  platform: platformOf(userAgent),
}))

function platformOf(userAgent: string): Platform {
  if (/\b(?:iPhone|iPad|iPod)\b/.test(userAgent)) return 'ios'
  return /\bAndroid\b/.test(userAgent) ? 'android' : 'web'
}

const purposes = ['sec-purpose', 'purpose', 'x-purpose', 'x-moz']

/** Is this fetched ahead, before anybody has decided to follow the link? */
export function isAhead(headers: Headers): boolean {
  return purposes.some((name) => {
    const purpose = headers.get(name)
    return purpose !== null && /prefetch|prerender|preview/i.test(purpose)
  })
}
