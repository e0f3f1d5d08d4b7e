import { randomBytes } from 'node:crypto'
import { commandText } from '../command-text.ts'
import { type Examined, isLocal } from './examined.ts'
import { type Line, ok, unchecked, wrong } from './line.ts'
import { request } from './request.ts'

/** A link whose code nobody has. It is read by HEAD, which counts no click. */
export const unknownLink = (base: string) => `${base}/${randomBytes(12).toString('hex')}`

const isExample = (url: URL) => /(^|\.)example(\.(com|org|net))?$/.test(url.hostname)

/** Where do links lead whose code is unknown? */
export async function checkFallback({ project }: Examined): Promise<Line> {
  const name = 'fallback_url'
  const { response, failure } = await request(
    unknownLink(`${project.functionsUrl}/referbase-link`),
    {
      method: 'HEAD',
    },
  )
  const location = response?.headers.get('location') ?? ''
  const remedy = `${commandText.supabase('secrets set LINK_FALLBACK_URL=https://…')} with a page of yours`
  if (!response || !URL.canParse(location)) {
    const why = failure ?? `status ${response?.status}`
    return wrong(name, `A link with an unknown code leads nowhere: ${why}.`, remedy)
  }
  if (!isExample(new URL(location)))
    return ok(name, `A link with an unknown code leads to ${location}.`)
  return isLocal(project.functionsUrl)
    ? unchecked(name, `A link with an unknown code leads to ${location}.`, remedy)
    : wrong(name, `A link with an unknown code leads to ${location}, a placeholder.`, remedy)
}
