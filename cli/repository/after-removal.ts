/** What a removal does not remove. */
import { commandText } from '../command-text.ts'
import { pack } from '../pack.ts'
import type { Installed } from './installed.ts'

export type Left = {
  /** The Data API fails while it exposes a schema that does not exist, and sign-ups while their hook does not. */
  before: string[]
  after: string[]
}

export function leftOf({ functions }: Installed): Left {
  const kept = functions.filter(({ header }) => header.changed).map(({ path }) => path)
  const deletions = pack
    .functions()
    .map(({ name }) => `\`${commandText.supabase(`functions delete ${name}`)}\``)
  const unset = commandText.supabase(
    'secrets unset LINK_FALLBACK_URL LINK_PROXY_SECRET STRIPE_LIVEMODE STRIPE_WEBHOOK_SECRET',
  )
  return {
    before: [
      'dashboard, project settings, Data API: take `referral` out of "Exposed schemas"',
      'dashboard, Authentication, Hooks: switch off the hook that requires a code, if you use it',
    ],
    after: [
      `functions that are deployed: ${deletions.join(', ')}`,
      `secrets: \`${unset}\``,
      'Stripe: the webhook endpoint',
      'functions of yours whose body calls `referral.…`: the database does not know of such calls, and they fail when they run',
      ...kept.map((path) => `${path}, which you changed`),
    ],
  }
}

export function leftText({ before, after }: Left, dropped: boolean): string {
  const list = (lines: string[]) => lines.map((line) => `- ${line}\n`).join('')
  const stays = '\nWhat stays until you remove it:\n'
  return dropped
    ? `${stays}${list([...before, ...after])}`
    : `\nDo this before:\n${list(before)}${stays}${list(after)}`
}
