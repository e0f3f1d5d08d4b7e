import { toReferralError } from '../client/platform-errors.ts'
import { CliError } from './cli-error.ts'

type Answer = { data: unknown; error: object | null; status: number }

/** The data of a call. An error is thrown as a sentence that begins with what could not be done. */
export async function call<Given extends Answer>(
  failed: string,
  request: PromiseLike<Given>,
): Promise<Extract<Given, { error: null }>['data']> {
  const { data, error, status } = await request
  if (error === null) return data
  const { code, message, details } = toReferralError(error, status)
  throw new CliError([`${failed}: ${code}.`, message, details].filter(Boolean).join(' '))
}
