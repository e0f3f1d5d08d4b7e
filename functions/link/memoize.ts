import { createRecent } from './recent.ts'

/**
 * Returns the function with a cache of its latest results, `maxResults` at most. For a pure function that costs more than
 * a look-up in a map.
 */
export function memoize<Result extends object>(
  maxResults: number,
  work: (text: string) => Result,
): (text: string) => Result {
  const results = createRecent<Result>(maxResults)
  return (text) => {
    const cached = results.get(text)
    if (cached) return cached
    const result = work(text)
    results.set(text, result)
    return result
  }
}
