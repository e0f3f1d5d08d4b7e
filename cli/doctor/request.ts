import { timedFetch } from '../timed-fetch.ts'

/** A response with its body, or why there is none. */
export type Outcome =
  | { response: Response; body: string; failure?: never }
  | { failure: string; response?: never; body?: never }

const seconds = 10
const send = timedFetch(seconds * 1000)

/** Sends a request. It follows no redirect, and gives up after ten seconds. */
export async function request(url: string, init: RequestInit = {}): Promise<Outcome> {
  try {
    const response = await send(url, { redirect: 'manual', ...init })
    return { response, body: await response.text() }
  } catch (error) {
    return { failure: reasonOf(error) }
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError') return `no response within ${seconds} seconds`
  const { cause } = error
  if (!(cause instanceof Error)) return error.message
  return 'code' in cause ? String(cause.code) : cause.message
}
