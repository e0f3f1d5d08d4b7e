/** A `fetch` that gives up after so many milliseconds. A signal of the caller's counts, too. */
export const timedFetch =
  (timeout: number): typeof fetch =>
  (input, init) => {
    const signals = [AbortSignal.timeout(timeout), init?.signal].filter((signal) => signal != null)
    return fetch(input, { ...init, signal: AbortSignal.any(signals) })
  }
