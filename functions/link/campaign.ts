import { Constants } from '../../client/database.types.ts'

/** How a visitor came to a link: our own channel (`via`), and the `utm_` parameters. */
export type Campaign = { channel: string | null; utm: Record<string, string> }

const channels: readonly string[] = Constants.referral.Enums.click_channel
const utmKeys = ['utm_source', 'utm_medium', 'utm_campaign', 'utm_term', 'utm_content']
const printable = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]{1,100}$/u
const none: Campaign = { channel: null, utm: {} }

/**
 * Reads `via` and the five `utm_` parameters of a query. Of a repeated parameter the first counts. An unknown channel is
 * null; punctuation after it is dropped, because chat programs link that too. A value over 100 characters, or with a character that is not printable, is left out.
 */
export function campaignOf(query: string): Campaign {
  if (query === '') return none
  const parameters = new URLSearchParams(query)
  const via = /^[a-z]*/.exec(parameters.get('via') ?? '')?.[0] ?? ''
  const utm = utmKeys.flatMap((key) => {
    const value = parameters.get(key) ?? ''
    return printable.test(value) ? [[key, value]] : []
  })
  return { channel: channels.includes(via) ? via : null, utm: Object.fromEntries(utm) }
}
