import { setTimeout } from 'node:timers/promises'
import type { StackEnvironment } from '../stack/spawn.ts'
import type { Person } from './people.ts'
import type { Step } from './story.ts'

const browser = 'Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0'

type Links = { code?: string; id?: string; retired: string }

/** The friend follows the mentor’s link, and the link of an ended code. Returns the id of the click. */
export async function* followLinks(
  environment: StackEnvironment,
  mentor: Person,
  { code = '', id = '', retired }: Links,
): AsyncGenerator<Step, string> {
  const tap = await follow(environment, code)
  yield {
    title: 'The friend follows the link to the organisation, which is told the code and the click',
    observed: `${tap.status} ${tap.location}`,
    happened:
      tap.status === 302 &&
      tap.location === `https://example.com/welcome?ref=${code}&click=${tap.clickId}`,
  }

  const clicks = await clicksOf(mentor, id)
  yield {
    title: 'and the mentor sees one click, from a QR code',
    observed: clicks.map(({ clicks, channel }) => `${clicks} by ${channel}`).join(),
    happened: clicks.length === 1 && clicks[0]?.clicks === 1 && clicks[0].channel === 'qr',
  }

  const dead = await follow(environment, retired)
  yield {
    title: 'The retired code leads to the fallback URL',
    observed: `${dead.status} ${dead.location}`,
    happened: dead.location === 'https://example.com/',
  }
  return tap.clickId
}

/** Redeems a code with the click of its link. */
export async function redeemClicked({ supabase }: Person, code: string, click_id: string) {
  const call = { code, click_id, provenance: 'link' }
  return supabase.schema('referral').rpc('redeem_code', call).single()
}

/** Follows a link as a browser does after the scan of a QR code. */
async function follow({ FUNCTIONS_URL }: StackEnvironment, code: string) {
  const { status, headers } = await fetch(`${FUNCTIONS_URL}/referbase-link/${code}?via=qr`, {
    redirect: 'manual',
    headers: { 'user-agent': browser },
  })
  const location = headers.get('location') ?? ''
  return { status, location, clickId: URL.parse(location)?.searchParams.get('click') ?? '' }
}

/** The counted clicks of the person's own code. It polls, because a click is recorded after the response. */
async function clicksOf({ supabase }: Person, code_id: string) {
  for (let tries = 0; tries < 50; tries++) {
    const { data } = await supabase.schema('referral').rpc('code_clicks', { code_id })
    if (data?.length) return data
    await setTimeout(100)
  }
  return []
}
