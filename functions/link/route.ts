import { remember } from './remember.ts'

type Kind =
  | 'redirect'
  | 'qr.svg'
  | 'qr.png'
  | 'context'
  | 'apple-app-site-association'
  | 'assetlinks.json'

export type Route = {
  kind: Kind
  /** What stands in the place of the code; null where nothing can. */
  text: string | null
  /** What follows the question mark. */
  query: string
}

/** An address as it arrived: nothing is resolved, so that dots in a path lead nowhere. */
const address =
  /^[a-z]+:\/\/[^/?#]*\/link\/(?:\.well-known\/(apple-app-site-association|assetlinks\.json)|([^/?#]{1,384})(?:\/(qr\.svg|qr\.png|context))?\/?)(?:\?([^#]*))?(?:#.*)?$/

/** What an address under `/link/` asks for. What is none of it is a link without a code: somebody may have tapped it. */
export const routeOf = (url: string): Route => (url.length <= 512 ? known(url) : read(url))

function read(url: string): Route {
  const [, file, segment = '', part, query = ''] = address.exec(url) ?? []
  return { kind: (file ?? part ?? 'redirect') as Kind, text: decoded(segment), query }
}

function decoded(segment: string): string | null {
  try {
    const text = decodeURIComponent(segment)
    return text === '' || text.includes('\0') ? null : text
  } catch {
    return null
  }
}

/** Links that many people tap are read once. */
const known = remember(1_000, read)
