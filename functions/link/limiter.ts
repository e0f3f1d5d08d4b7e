import { createRecent } from './recent.ts'

type Settings = {
  /** The most calls per minute, for one network and for all networks together. */
  perNetwork: number
  perInstance: number
  /** The clock, in milliseconds. */
  now: () => number
}

const minute = 60_000

/** How many networks are tracked. Beyond that the least recently active ones are dropped. */
const networks = 10_000

/**
 * Counts calls per minute, for a visitor’s network and for this instance of the function. Returns false above either limit.
 * A call that its network’s limit refuses does not count for the instance, so that one flood does not block others. For a
 * visitor without an address only the instance’s limit applies.
 */
export function createLimiter({ perNetwork, perInstance, now }: Settings) {
  const windows = createRecent<{ count: number; until: number }>(networks)
  const instance = { count: 0, until: 0 }

  const passes = (window: { count: number; until: number }, limit: number) => {
    if (window.until <= now()) Object.assign(window, { count: 0, until: now() + minute })
    window.count += 1
    return window.count <= limit
  }

  return (network: string | null): boolean => {
    if (network) {
      const known = windows.get(network)
      const window = known ?? { count: 0, until: 0 }
      if (!known) windows.set(network, window)
      if (!passes(window, perNetwork)) return false
    }
    return passes(instance, perInstance)
  }
}
