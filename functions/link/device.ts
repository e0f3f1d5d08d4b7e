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
 * What a link is opened on: by the client hint where the browser sends one, else by the user agent. Programs get the web
 * destination, which has the preview. An iPad whose browser says that it is a Mac cannot be told from one, and gets the
 * web destination too, whose page can ask for `navigator.maxTouchPoints`.
 *
 * @param hint the header `Sec-CH-UA-Platform`, with its quotes
 */
export function deviceOf(userAgent: string, hint: string | null): Device {
  return deviceSaid(`${hint?.slice(0, 16) ?? ''}\n${userAgent.slice(0, 512)}`)
}

const deviceSaid = remember(1_000, (said): Device => {
  const [hint = '', userAgent = ''] = said.split('\n')
  const person = userAgent !== '' && !isbot(userAgent)
  return { person, platform: person ? platformOf(userAgent, hint) : 'web' }
})

function platformOf(userAgent: string, hint: string): Platform {
  if (withoutPlayStore.test(userAgent)) return 'web'
  if (hint === '"Android"') return 'android'
  if (hint === '"iOS"' || /\b(?:iPhone|iPad|iPod)\b/.test(userAgent)) return 'ios'
  return /\bAndroid\b/.test(userAgent) ? 'android' : 'web'
}

const purposes = ['sec-purpose', 'purpose', 'x-purpose', 'x-moz']

/** Is this fetched ahead, before anybody has decided to follow the link? */
export function isAhead(headers: Headers): boolean {
  return purposes.some((name) => /prefetch|prerender|preview/i.test(headers.get(name) ?? ''))
}
