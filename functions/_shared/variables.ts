/** The forms of the variables that more than one function reads. */
import type { Read } from './environment.ts'

/** A text that is not empty. */
export const text: Read<string> = (given) => given || undefined

/** A web address. */
export const webAddress: Read<string> = (given) =>
  /^https?:$/.test(URL.parse(given)?.protocol ?? '') ? given : undefined

/** The hosted platform's map of API keys as JSON, `{"default":"sb_…"}`. Reads the default key. */
export const defaultKey =
  (read: Read<string>): Read<string> =>
  (given) => {
    try {
      const key: unknown = JSON.parse(given)?.default
      return typeof key === 'string' ? read(key) : undefined
    } catch {
      return undefined
    }
  }

/** Several texts with commas between them. One that is malformed makes all of them malformed. */
export const listOf =
  (read: Read<string>): Read<string[]> =>
  (given) => {
    const values = given.split(',').map((each) => read(each.trim()))
    return values.every((value) => value !== undefined) ? values : undefined
  }

/** `true` or `false`. */
export const truth: Read<boolean> = (given) =>
  /^(?:true|false)$/i.test(given) ? given.toLowerCase() === 'true' : undefined
