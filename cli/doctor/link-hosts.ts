import type { Organisation } from '../../client/rows.ts'
import { commandText } from '../command-text.ts'
import { checkAssociations } from './associations.ts'
import { unknownLink } from './check-fallback.ts'
import type { Examined } from './examined.ts'
import { type Line, ok, unchecked, wrong } from './line.ts'
import { request } from './request.ts'
import { whyOf } from './why.ts'

const remedy = 'Set up the host by the page on link hosts.'

/** Do the link hosts of the organisations lead to the function, with the proxy's secret and the files of the apps? */
export async function checkLinkHosts({ project, orgId }: Examined): Promise<Line[]> {
  const all = project.database.from('organisations').select().not('link_origin', 'is', null)
  const { data, error, status } = await (orgId ? all.eq('id', orgId) : all).order('slug')
  if (error) {
    const why = whyOf(project, error, status)
    return [unchecked('link_hosts', 'The organisations cannot be read.', why)]
  }
  if (data.length === 0)
    return [
      unchecked(
        'link_host_reached',
        'No organisation has a link host of its own, so links open no app.',
        `To have one: ${commandText.referbase('setup --slug SLUG --link-host https://go.example.org')}`,
      ),
    ]
  const lines: Line[] = []
  for (const organisation of data)
    lines.push(...(await checkHost(project.functionsUrl, organisation)))
  return lines
}

async function checkHost(functionsUrl: string, organisation: Organisation): Promise<Line[]> {
  const host = String(organisation.link_origin)
  const { response, failure } = await request(unknownLink(`${host}/link`), { method: 'HEAD' })
  const location = response?.headers.get('location')
  if (!response || !location) {
    const why = failure ?? `status ${response?.status}`
    return [wrong('link_host_reached', `${host}/link/… leads nowhere: ${why}.`, remedy)]
  }
  return [
    ok('link_host_reached', `${host}/link/… is redirected.`),
    await checkProxySecret(functionsUrl, organisation, location),
    ...(await checkAssociations(organisation)),
  ]
}

/**
 * Behind a link host that the function knows by the proxy's secret, a link with an unknown code leads to the organisation's
 * page. Without the secret it leads to the fallback URL.
 */
async function checkProxySecret(
  functionsUrl: string,
  { link_origin: host, web_destination: page }: Organisation,
  location: string,
): Promise<Line> {
  const name = 'proxy_secret'
  const { response } = await request(unknownLink(`${functionsUrl}/referbase-link`), {
    method: 'HEAD',
  })
  const fallback = response?.headers.get('location')
  if (!page || !fallback || samePlace(page, fallback))
    return unchecked(
      name,
      `Whether ${host} sends the proxy’s secret is not visible.`,
      'It is if web_destination and LINK_FALLBACK_URL are different pages.',
    )
  return samePlace(page, location)
    ? ok(name, `${host} sends the proxy’s secret.`)
    : wrong(
        name,
        `${host} does not send the proxy’s secret, so all its visitors count as one.`,
        `Give the host the value of LINK_PROXY_SECRET, and the function the same: ${commandText.supabase('secrets set LINK_PROXY_SECRET=…')}`,
      )
}

const samePlace = (a: string, b: string) =>
  URL.canParse(a) && URL.canParse(b) && new URL(a).href === new URL(b).href
