/** What a check found. */
export type Line = {
  /** The name of the check for scripts. */
  check: string
  state: 'ok' | 'wrong' | 'unchecked'
  /** One sentence: what is the case. */
  message: string
  /** What to do about it, or what is needed to check it. */
  remedy: string | null
}

export const ok = (check: string, message: string): Line => ({
  check,
  state: 'ok',
  message,
  remedy: null,
})

export const wrong = (check: string, message: string, remedy: string): Line => ({
  check,
  state: 'wrong',
  message,
  remedy,
})

export const unchecked = (check: string, message: string, remedy: string): Line => ({
  check,
  state: 'unchecked',
  message,
  remedy,
})
