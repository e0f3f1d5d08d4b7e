/**
 * A cache of results, for screens that poll. An entry is valid for `seconds`, or until its value expires. 0 switches the
 * cache off. It holds 100 entries at most, and starts anew then. A result that was requested before the last `clear`
 * can be stale, so it is not stored.
 */
export function createCache<Value>(seconds: number) {
  const entries = new Map<string, { value: Value; until: number }>()
  let clears = 0
  return {
    get(key: string): Value | undefined {
      const entry = entries.get(key)
      return entry && entry.until > Date.now() ? entry.value : undefined
    },
    /** Call it before the request. Returns the function that stores the result. */
    prepare(key: string): (value: Value, expiresAt?: string | null) => void {
      const clearsBefore = clears
      return (value, expiresAt) => {
        if (seconds <= 0 || clearsBefore !== clears) return
        if (entries.size > 99) entries.clear()
        const end = expiresAt ? Date.parse(expiresAt) : Number.POSITIVE_INFINITY
        entries.set(key, { value, until: Math.min(Date.now() + seconds * 1000, end) })
      }
    },
    clear(): void {
      clears += 1
      entries.clear()
    },
  }
}
