import { LRUCache } from 'lru-cache'

/** What is known: a row, that there is none, or that nobody could say (`limited`: nobody was asked). */
export type Found<Row> = { row: Row | null } | 'unavailable' | 'limited'

/** The row, for those to whom it is all one why there is none. */
export function rowOf<Row>(found: Found<Row>): Row | null {
  return typeof found === 'string' ? null : found.row
}

type Settings<Row> = {
  /** Asks the database, and gives up after so many milliseconds. */
  ask: (text: string, patience: number) => Promise<Row | null>
  /** The clock, in milliseconds. */
  now: () => number
}

/** How long an answer is taken as it is, in milliseconds: a row, that there is none, and after a failure. */
const lifetimes = { found: 60_000, none: 10_000, failed: 10_000 }

/** How long to wait for the database, in milliseconds: with nothing to answer, and with an older answer at hand. */
const patience = { first: 2_000, again: 500 }

const maxAnswers = 5_000
const maxPending = 100

/**
 * Finds rows by text, and remembers the answers of the last minute. Those who ask for the same at once share one
 * question. When the database fails, an older answer is as good as it gets, for as long as it is remembered.
 */
export function createLookup<Row>({ ask, now }: Settings<Row>) {
  const answers = new LRUCache<string, { row: Row | null; until: number }>({ max: maxAnswers })
  const pending = new Map<string, Promise<Found<Row>>>()

  async function askAgain(key: string, text: string): Promise<Found<Row>> {
    const old = answers.get(key)
    try {
      const row = await ask(text, old ? patience.again : patience.first)
      const until = now() + (row ? lifetimes.found : lifetimes.none)
      answers.set(key, { row, until })
      return { row }
    } catch (error) {
      console.error(`a look-up failed: ${(error as { code?: string }).code || 'no answer'}`)
      if (old) answers.set(key, { ...old, until: now() + lifetimes.failed })
      return old ?? 'unavailable'
    } finally {
      pending.delete(key)
    }
  }

  /** `mayAsk` is asked when the answer is not remembered. */
  return (text: string, mayAsk: () => boolean): Found<Row> | Promise<Found<Row>> => {
    const key = keyOf(text)
    const answer = answers.get(key)
    if (answer && answer.until > now()) return answer
    const question = pending.get(key)
    if (question) return question
    if (pending.size >= maxPending || !mayAsk()) return answer ?? 'limited'
    const asked = askAgain(key, text)
    pending.set(key, asked)
    return asked
  }
}

/**
 * Spellings that the database takes for the same are remembered once, as far as that is cheap to see. The database alone
 * decides what a code is; longer text is none there, and must not be remembered as what it would be if it were shorter.
 */
function keyOf(text: string): string {
  return /^[\w -]{1,128}$/.test(text) ? text.replaceAll(/[ -]/g, '').toUpperCase() : text
}
