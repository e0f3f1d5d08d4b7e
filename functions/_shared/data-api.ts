import type { Database } from '../../client/database.types.ts'

type Functions = Database['referral']['Functions']

/** What a call returned, or the code of its error: that of the database, or empty if there was no response. */
type Answer<Row> = { data: Row | null; error: null } | { data: null; error: { code: string } }

/**
 * Calls a function of schema `referral` with a row or a value as its result. Returns null if there is no row. A call with a
 * `timeout`, in milliseconds, fails after it.
 */
export type DataApi = <Name extends keyof Functions & string>(
  name: Name,
  args: Functions[Name]['Args'],
  timeout?: number,
) => Promise<Answer<Functions[Name]['Returns']>>

/** The Data API of a project with an API key and without a session. By POST, so that every argument arrives unchanged. */
export function connectDataApi(url: string, key: string): DataApi {
  const address = `${url.replace(/\/+$/, '')}/rest/v1/rpc`
  const headers = {
    apikey: key,
    // Keys of the older form are tokens, and are read here.
    authorization: `Bearer ${key}`,
    'content-type': 'application/json',
    'content-profile': 'referral',
  }
  return async (name, args, timeout) => {
    try {
      const response = await fetch(`${address}/${name}`, {
        method: 'POST',
        headers,
        body: JSON.stringify(args),
        redirect: 'error',
        ...(timeout !== undefined && { signal: AbortSignal.timeout(timeout) }),
      })
      const text = await response.text()
      if (!response.ok) return { data: null, error: { code: codeOf(text) } }
      const result = text ? JSON.parse(text) : null
      return { data: Array.isArray(result) ? (result[0] ?? null) : result, error: null }
    } catch {
      return { data: null, error: { code: '' } }
    }
  }
}

/** The code of an error response. A proxy's own has none. */
function codeOf(text: string): string {
  try {
    const code: unknown = JSON.parse(text)?.code
    return typeof code === 'string' && /^\w{1,64}$/.test(code) ? code : ''
  } catch {
    return ''
  }
}
