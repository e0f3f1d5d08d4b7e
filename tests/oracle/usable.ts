/** Whether a code was good at a time. Clocks differ: each state holds from a minute before until a minute after. */
import { type CodeState, minute, type Time, wholeSecond } from './world.ts'

export const isUsable = (states: CodeState[], at: Time): boolean =>
  states.some((state, place) => {
    const limit = limitOf(state)
    if (limit === null) return false
    const end = Math.min(states[place + 1]?.since ?? Infinity, limit)
    return wholeSecond(state.since) - minute <= at && at <= wholeSecond(end) + minute
  })

/** Until when it can be used in a state, where it can be at all: while it is active, or rotated with grace. */
function limitOf({ status, expiresAt, redeemableUntil }: CodeState): Time | null {
  if (status === 'active') return expiresAt ?? Infinity
  return status === 'rotated' ? redeemableUntil : null
}
