import { type Line, ok, wrong } from './line.ts'

/** More than this many seconds between two clocks is not the time that a request takes. */
const tolerance = 30

/** Compares a time that was said during a call with this machine's. All of them are in milliseconds. */
export function compareClocks(
  check: string,
  owner: string,
  said: number,
  { started, ended }: { started: number; ended: number },
): Line {
  const seconds = Math.round(Math.max(started - said, said - ended, 0) / 1000)
  if (seconds <= tolerance) return ok(check, `The clocks of ${owner} and of this machine agree.`)
  const more = seconds > 300 ? ' Stripe’s signatures are refused after five minutes.' : ''
  return wrong(
    check,
    `The clocks of ${owner} and of this machine differ by ${seconds} seconds.${more}`,
    'Set the clock that is wrong, by a time server.',
  )
}
