import { memoize } from './memoize.ts'
import { createRecent } from './recent.ts'

/** The row, or null if there is none; or why it is unknown: the database failed, or a limit was reached (`limited`). */
export type Found<Row> = { row: Row | null } | 'unavailable' | 'limited'

/** The row, or null for every reason. */
export function rowOf<Row>(found: Found<Row>): Row | null {
  return typeof found === 'string' ? null : found.row
}

type Settings<Row> = {
  /** Reads the row from the database, and gives up after `timeout` milliseconds. */
  fetchRow: (text: string, timeout: number) => Promise<Row | null>
  /** The clock, in milliseconds. */
  now: () => number
}

/** How long an entry is fresh, in milliseconds: with a row, without one, and a stale one after a failure. */
const lifetimes = { found: 60_000, none: 10_000, failed: 10_000 }

/** The time-out of a query, in milliseconds: without a cached entry, and with a stale one. */
const timeouts = { first: 2_000, again: 500 }

const maxEntries = 5_000
const maxPending = 100

/**
 * Looks up rows by text, with a cache. Simultaneous look-ups of the same text share one query. If the database fails, the
 * stale entry is returned for as long as it is in the cache.
 */
export function createCachedLookup<Row>({ fetchRow, now }: Settings<Row>) {
  const entries = createRecent<{ row: Row | null; until: number }>(maxEntries)
  const pending = new Map<string, Promise<Found<Row>>>()

  async function query(key: string, text: string): Promise<Found<Row>> {
    const stale = entries.get(key)
    try {
      const row = await fetchRow(text, stale ? timeouts.again : timeouts.first)
      const until = now() + (row ? lifetimes.found : lifetimes.none)
      entries.set(key, { row, until })
      return { row }
    } catch (error) {
      console.error(`a look-up failed: ${(error as { code?: string }).code || 'no response'}`)
      if (stale) entries.set(key, { ...stale, until: now() + lifetimes.failed })
      return stale ?? 'unavailable'
    } finally {
      pending.delete(key)
    }
  }

  /** `mayQuery` is called only if a query is needed. */
  return (text: string, mayQuery: () => boolean): Found<Row> | Promise<Found<Row>> => {
    const { key } = keyOf(text)
    const entry = entries.get(key)
    if (entry && entry.until > now()) return entry
    const shared = pending.get(key)
    if (shared) return shared
    if (pending.size >= maxPending || !mayQuery()) return entry ?? 'limited'
    const started = query(key, text)
    pending.set(key, started)
    return started
  }
}

/**
 * The cache key. Spellings of one code share a key where that is cheap to see; the database alone decides what a code is.
 * Text over 128 characters is never a code there, so it is not shortened here.
 */
const keyOf = memoize(1_000, (text) => ({
  key: /^[\w -]{1,128}$/.test(text) ? text.replaceAll(/[ -]/g, '').toUpperCase() : text,
}))
