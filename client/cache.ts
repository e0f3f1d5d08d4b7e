/**
 * A small memory of answers, for screens that ask again and again. An entry is good for `seconds`, or until what it holds
 * expires; 0 switches it off.
 * At most 100 entries are kept, the oldest go first. An answer that was asked for before the last `clear` may be older
 * than what was cleared for, and is not kept.
 */
export function createCache<Value>(seconds: number) {
  const entries = new Map<string, { value: Value; until: number }>()
  let clears = 0
  return {
    get(key: string): Value | undefined {
      const entry = entries.get(key)
      return entry && entry.until > Date.now() ? entry.value : undefined
    },
    /** Call before asking; keeps the answer once it is there. */
    keeper(key: string): (value: Value, expiresAt?: string | null) => void {
      const asked = clears
      return (value, expiresAt) => {
        if (seconds <= 0 || asked !== clears) return
        entries.delete(key)
        const end = expiresAt ? Date.parse(expiresAt) : Number.POSITIVE_INFINITY
        entries.set(key, { value, until: Math.min(Date.now() + seconds * 1000, end) })
        const [oldest] = entries.keys()
        if (entries.size > 100 && oldest !== undefined) entries.delete(oldest)
      }
    },
    clear(): void {
      clears += 1
      entries.clear()
    },
  }
}
