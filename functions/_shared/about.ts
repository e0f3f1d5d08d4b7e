import { version } from './version.ts'

/** The response to `GET /<slug>/.well-known/referbase`: which function this is, and of which version. */
export function about(name: string, more: object = {}): Response {
  return Response.json(
    { function: name, version, ...more },
    { headers: { 'cache-control': 'no-store' } },
  )
}
