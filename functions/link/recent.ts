/** Values by text. The oldest ones are dropped, so that there are never more than `max`. */
export type Recent<Value> = {
  get: (key: string) => Value | undefined
  set: (key: string, value: Value) => void
}

/**
 * Keeps values that were read or set lately: at least the latest `max / 2`, at most `max`. There are two maps of that size.
 * Once the younger one is full, the older one is dropped with what was not read meanwhile. A look-up in the younger one writes
 * nothing.
 */
export function createRecent<Value>(max: number): Recent<Value> {
  let young = new Map<string, Value>()
  let old = new Map<string, Value>()

  const set = (key: string, value: Value) => {
    if (young.size >= max / 2 && !young.has(key)) {
      old = young
      young = new Map()
    }
    young.set(key, value)
  }
  const get = (key: string) => {
    const value = young.get(key)
    if (value !== undefined) return value
    const older = old.get(key)
    if (older !== undefined) set(key, older)
    return older
  }
  return { get, set }
}
