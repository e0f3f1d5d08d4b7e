import type { Project } from '../project.ts'

/** What the doctor examines. */
export type Examined = {
  project: Project
  /** Only this organisation, of all. */
  orgId: string | undefined
  /** Whether payments are live ones, or those of test mode. Undefined if the user did not say. */
  live: boolean | undefined
  /** Whether the project takes payments by Stripe. */
  usesStripe: boolean
}

/** Whether an address is of this machine, or of its private network, as a phone reaches it. */
export const isLocal = (url: string): boolean =>
  /^(localhost|127\.0\.0\.1|\[::1\]|host\.docker\.internal|.*\.local|(10|192\.168|172\.(1[6-9]|2\d|3[01]))\.[\d.]+)$/.test(
    new URL(url).hostname,
  )
