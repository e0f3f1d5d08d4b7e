/**
 * Takes the code out of what a person typed, pasted or scanned: the text itself, or a link that carries it as
 * `…/link/<code>` or `?ref=<code>`. Whether it is a code, and which one, the database decides.
 *
 * @example codeText(' https://go.example.org/link/7KQ2-M9XT ') // '7KQ2-M9XT'
 */
export function codeText(text: string): string {
  const trimmed = text.trim()
  if (!/^https?:\/\//i.test(trimmed)) return trimmed
  try {
    const url = new URL(trimmed)
    const [, segment] = /\/link\/([^/]+)\/?$/.exec(url.pathname) ?? []
    return url.searchParams.get('ref') || (segment ? decodeURIComponent(segment) : trimmed)
  } catch {
    return trimmed
  }
}
