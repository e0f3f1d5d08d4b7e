import type { EndpointReport, EndpointWish } from './ensure-endpoint.ts'
import { wantedApiVersion, wantedEvents } from './wanted-endpoint.ts'

type Wish = Pick<EndpointWish, 'url' | 'connect' | 'dryRun'>

/** What was done about the endpoint, or would be in a dry run, and what to do next. */
export function describeEndpoint(report: EndpointReport, wish: Wish): string {
  const { action, endpoint } = report
  const name = `the endpoint ${endpoint} of ${wish.url}`
  const first = {
    make: made(report, wish),
    mend: [`${wish.dryRun ? 'Would mend' : 'Mended'} ${name}.`],
    keep: [`Nothing to do for ${name}: it has our events and API version ${wantedApiVersion}.`],
  }[action]
  return [...first, ...mended(report), ...others(report, wish)].join('\n')
}

function made({ endpoint, livemode, secret, older }: EndpointReport, wish: Wish): string[] {
  const { url, connect, dryRun } = wish
  const what = `with ${wantedEvents.length} events and API version ${wantedApiVersion}`
  const whose = connect ? ', for the events of connected accounts' : ''
  if (dryRun) return [`Would make an endpoint of ${url}, ${what}${whose}.`]
  const [, project] = /^https:\/\/([a-z]{20})\.supabase\.co\//.exec(url) ?? []
  const reference = project ? ` --project-ref ${project}` : ''
  const set = (secrets: string) =>
    `  npx supabase secrets set STRIPE_WEBHOOK_SECRET=${secrets} STRIPE_LIVEMODE=${livemode}${reference}`
  const delivering = older.some(({ deleted }) => !deleted)
  return [
    `Made the endpoint ${endpoint} of ${url}, ${what}${whose}, in ${livemode ? 'live' : 'test'} mode.`,
    'Its signing secret is shown this once. Set it:',
    '',
    set(String(secret)),
    '',
    ...(delivering || connect
      ? [
          'Where another endpoint delivers to this function too, set both secrets, with a comma:',
          '',
          set(`OTHER_SECRET,${secret}`),
          '',
        ]
      : []),
  ]
}

function mended({ missing, extra, disabled }: EndpointReport): string[] {
  return [
    ...(missing.length ? [`  Events that were missing: ${missing.join(', ')}`] : []),
    ...(extra.length ? [`  Events that were not needed: ${extra.join(', ')}`] : []),
    ...(disabled ? ['  It was disabled.'] : []),
  ]
}

function others({ older, twins }: EndpointReport, { dryRun }: Wish): string[] {
  return [
    ...older.map(({ endpoint, api_version, deleted }) => {
      const version = api_version ?? "the account's default"
      if (deleted)
        return `${dryRun ? 'Would delete' : 'Deleted'} ${endpoint} (API version ${version}).`
      return `${endpoint} (API version ${version}) delivers to this address too. Once the new secret is set, run this again with --replace, which deletes it.`
    }),
    ...twins.map(
      (twin) =>
        `${twin} delivers the same events again. Delete the one whose secret you do not use, in Stripe's dashboard.`,
    ),
  ]
}
