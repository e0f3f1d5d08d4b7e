import { toReferralError } from '../../client/platform-errors.ts'
import { causeOf } from '../call.ts'
import { commandText } from '../command-text.ts'
import type { Project } from '../project.ts'

type Given = Parameters<typeof toReferralError>[0]

/** What an error of the Data API says, in one sentence where its own text is none. */
export function whyOf({ url }: Project, error: Given, status: number): string {
  const { message, details } = toReferralError(error, status)
  const said = details ?? ''
  if (status === 0) {
    const cause = causeOf(said)
    return `${new URL(url).host} does not respond${cause ? `: ${cause}` : ''}. Try again.`
  }
  if (/schema "?referral\w*"? does not exist/i.test(said)) return missing
  return [message, said].filter(Boolean).join(' ')
}

const missing = `The schema referral does not exist: ${commandText.referbase('init')}, then ${commandText.supabase('db push --remote')}`
