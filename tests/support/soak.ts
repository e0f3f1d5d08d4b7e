/** How much of a long proof to run: little in `npm test`, as much as `npm run soak` asks for by the environment. */
import { appendFileSync } from 'node:fs'

/** The number that the environment gives, or the one for `npm test`. */
export const often = (name: string, inTests: number) => Number(process.env[name] ?? inTests)

/** Notes what was proved, for the table that `npm run soak` prints. */
export function proved(what: string, count: number): void {
  const { SOAK_REPORT } = process.env
  if (SOAK_REPORT) appendFileSync(SOAK_REPORT, `${JSON.stringify({ what, count })}\n`)
}
