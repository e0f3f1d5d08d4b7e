import { memoize } from './memoize.ts'

type Kind =
  | 'redirect'
  | 'qr.svg'
  | 'qr.png'
  | 'context'
  | 'apple-app-site-association'
  | 'assetlinks.json'
  | 'referbase'

export type Route = {
  kind: Kind
  /** The name under which the function is deployed. Empty if no code can follow. */
  slug: string
  /** The text in the place of the code. Null if it cannot be a code. */
  text: string | null
  /** The text after the question mark. */
  query: string
}

/** Matches the URL as it arrived. Dots in the path are not resolved. The platform puts the function's name first. */
const address =
  /^[a-z]+:\/\/[^/?#]*\/([A-Za-z][\w-]{0,63})\/(?:\.well-known\/(apple-app-site-association|assetlinks\.json|referbase)|([^/?#]{1,384})(?:\/(qr\.svg|qr\.png|context))?\/?)(?:\?([^#]*))?(?:#.*)?$/

/** The route of a URL under `/<slug>/`. An unknown path is a link without a code, because a person may have tapped it. */
export const routeOf = (url: string): Route => (url.length <= 512 ? parseMemoized(url) : parse(url))

function parse(url: string): Route {
  const [, slug = '', file, segment = '', part, query = ''] = address.exec(url) ?? []
  return { kind: (file ?? part ?? 'redirect') as Kind, slug, text: decoded(segment), query }
}

function decoded(segment: string): string | null {
  try {
    const text = decodeURIComponent(segment)
    return text === '' || text.includes('\0') ? null : text
  } catch {
    return null
  }
}

/** A link that many people tap is parsed once. */
const parseMemoized = memoize(1_000, parse)
