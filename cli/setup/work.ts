import type { ReferralDatabase } from '../database.ts'

/** A step of the set-up: something was made or changed, or is different and was left as it is. */
export type Step = {
  kind: 'made' | 'changed' | 'different'
  what: string
  stored?: unknown
  wanted?: unknown
}

/** What the steps of the set-up work with. */
export type Work = {
  database: ReferralDatabase
  /** Whether terms and roles that exist are changed. */
  update: boolean
  say: (kind: Step['kind'], what: string, stored?: unknown, wanted?: unknown) => void
}
