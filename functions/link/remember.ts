import { LRUCache } from 'lru-cache'

/** The function with its latest results at hand: for a pure one that costs more than a look into a map. */
export function remember<Result extends object>(
  most: number,
  work: (text: string) => Result,
): (text: string) => Result {
  const results = new LRUCache<string, Result>({ max: most })
  return (text) => {
    const known = results.get(text)
    if (known) return known
    const result = work(text)
    results.set(text, result)
    return result
  }
}
