import { isbot } from 'isbot'
import { memoize } from './memoize.ts'

/** Where the visitor can install an app: from Apple’s store (`ios`), from Google’s (`android`), or from neither (`web`). */
export type Platform = 'ios' | 'android' | 'web'

export type Device = {
  platform: Platform
  /** False for a crawler, for a program that draws a preview, and without a user agent. */
  person: boolean
}

/**
 * Android devices without Google’s store (Amazon’s tablets, and Huawei’s phones, which name their own services and not
 * Google’s), and systems that only claim to be Android.
 */
const withoutPlayStore =
  /\bSilk\/|\bKF[A-Z]{2,6}\b|HarmonyOS|Windows Phone|IEMobile|Tizen|KAIOS|^(?!.*\bGMSCore\b).*\bHMSCore\b/

/** Facebook’s apps, where they name no browser. Their previews are prefetches, which say so in a header. */
const facebookApp = /^\[FB(?:AN|_IAB)\/[\w-]+;/

/** What Android apps of Facebook’s put where other browsers say Android: the app’s name, or its package. */
const facebookOnAndroid = /\bFB4A\b|\bFBAN\/(?:EMA|Orca)\b|\bFBPN\/com\./

/**
 * The visitor’s device, by the user agent. The client hint reveals an Android tablet that requests desktop pages.
 *
 * Programs get the web destination, which has the preview. An iPad whose browser claims to be a Mac gets it too; the page
 * there can check `navigator.maxTouchPoints`.
 */
export function deviceOf(userAgent: string, headers: Headers): Device {
  const { person, hasStore, platform } = parsed(userAgent.slice(0, 512))
  if (!person || !hasStore) return { person, platform: 'web' }
  const isHinted = platform === 'web' && headers.get('sec-ch-ua-platform') === '"Android"'
  return { person, platform: isHinted ? 'android' : platform }
}

const parsed = memoize(1_000, (userAgent): Device & { hasStore: boolean } => ({
  person: userAgent !== '' && (facebookApp.test(userAgent) || !isbot(userAgent)),
  hasStore: !withoutPlayStore.test(userAgent),
  platform: platformOf(userAgent),
}))

function platformOf(userAgent: string): Platform {
  if (/\b(?:iPhone|iPad|iPod)\b/.test(userAgent)) return 'ios'
  return /\bAndroid\b/.test(userAgent) || facebookOnAndroid.test(userAgent) ? 'android' : 'web'
}

const purposes = ['sec-purpose', 'purpose', 'x-purpose', 'x-moz']

/** Whether a browser fetches the link in advance, before the person has opened it. */
export function isPrefetch(headers: Headers): boolean {
  return purposes.some((name) => {
    const purpose = headers.get(name)
    return purpose !== null && /prefetch|prerender|preview/i.test(purpose)
  })
}
