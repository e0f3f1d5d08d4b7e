import { LRUCache } from 'lru-cache'

type Settings = {
  /** How often within a minute for one network, and for all together. */
  perNetwork: number
  perInstance: number
  /** The clock, in milliseconds. */
  now: () => number
}

const minute = 60_000

/** How many networks are remembered; of more, those that were quiet longest are forgotten. */
const networks = 10_000

/**
 * Says whether something may happen once more within this minute, for a visitor’s network and for this instance of the
 * function. What a network may not do does not count for the instance, so that one flood does not stop everybody. A
 * visitor without an address is held by the second limit alone.
 */
export function createLimiter({ perNetwork, perInstance, now }: Settings) {
  const windows = new LRUCache<string, { count: number; until: number }>({ max: networks })
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
