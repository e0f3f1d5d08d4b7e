import { toReferralError } from '../client/platform-errors.ts'
import { CliError } from './cli-error.ts'

/** The cause that Node names of a request without a response, such as ECONNREFUSED. */
export const causeOf = (said: string): string | undefined =>
  /\b(E[A-Z_]{4,}|CERT_\w+|TimeoutError)\b/.exec(said)?.[0]

type Answer = { data: unknown; error: object | null; status: number }

/** The data of a call. An error is thrown as a sentence that begins with what could not be done. */
export async function call<Given extends Answer>(
  failed: string,
  request: PromiseLike<Given>,
): Promise<Extract<Given, { error: null }>['data']> {
  const { data, error, status } = await request
  if (error === null) return data
  const { code, message, details } = toReferralError(error, status)
  if (status === 0) {
    const cause = causeOf(details ?? '')
    const does = cause ? `does not respond: ${cause}` : 'does not respond'
    throw new CliError(`${failed}: the project ${does}. Is SUPABASE_URL right?`)
  }
  throw new CliError([`${failed}: ${code}.`, message, details].filter(Boolean).join(' '))
}
