import { referralError } from './errors.ts'
import type { Result } from './result.ts'

type Call = (...args: never[]) => Promise<Result<unknown>>

/** The calls of a client. A call that cannot use its arguments returns `invalid_argument`, and does not throw. */
export function guarded<Calls extends Record<string, Call>>(calls: Calls): Calls {
  const guard =
    (call: Call): Call =>
    (...args) =>
      call(...args).catch((cause: unknown) => {
        if (!(cause instanceof TypeError)) throw cause
        const message = 'An argument is missing or has a value that is not allowed.'
        return { data: null, error: referralError('invalid_argument', message, cause.message) }
      })
  return Object.fromEntries(
    Object.entries(calls).map(([name, call]) => [name, guard(call)]),
  ) as Calls
}
