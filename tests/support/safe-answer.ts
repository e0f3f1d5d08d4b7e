/** What an answer of `link` may never be, whatever was asked. */
import type { RawAnswer } from './raw-http.ts'

const headersWeSend = [
  ...['location', 'cache-control', 'referrer-policy', 'x-robots-tag', 'vary', 'allow'],
  ...['content-type', 'content-length', 'x-content-type-options', 'retry-after', 'date'],
  ...['access-control-allow-origin', 'access-control-allow-methods', 'connection', 'keep-alive'],
  ...['access-control-allow-headers', 'access-control-max-age', 'transfer-encoding'],
]

/** Our own parameters, and the campaign’s. */
const parameters = /^(?:ref|click|referrer|lang|id|utm_(?:source|medium|campaign|term|content))$/

/** What is wrong with an answer; nothing for a good one. `stored` are the addresses that a link may lead to. */
export function wrongWith({ status, headers, rest }: RawAnswer, stored: string[]): string[] {
  const wrong: string[] = []
  if (status >= 500) wrong.push(`status ${status}`)
  if (rest.includes('HTTP/1.1 ')) wrong.push('a second answer')
  for (const [name, value] of headers) {
    if (!headersWeSend.includes(name)) wrong.push(`header ${name}`)
    if (/[\0\r\n]/.test(value)) wrong.push(`a line break in ${name}`)
  }
  const locations = headers.filter(([name]) => name === 'location').map(([, value]) => value)
  if (locations.length !== (status === 302 ? 1 : 0)) wrong.push(`${locations.length} locations`)
  for (const location of locations) {
    if (!isStored(location, stored)) wrong.push(`location ${location}`)
  }
  return wrong
}

/** The same scheme, host and path as a stored address, every parameter of it, and none but ours beside them. */
function isStored(location: string, stored: string[]): boolean {
  const url = URL.parse(location)
  if (!url || !/^[!-~]+$/.test(location)) return false
  return stored
    .map((address) => new URL(address))
    .some((address) => {
      const same = ['origin', 'pathname', 'hash', 'username', 'password'] as const
      return (
        same.every((part) => url[part] === address[part]) &&
        [...address.searchParams].every(([key, value]) => url.searchParams.get(key) === value) &&
        [...url.searchParams.keys()].every((key) => parameters.test(key))
      )
    })
}
