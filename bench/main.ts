/**
 * `npm run bench`: what the hot paths cost, each beside something that anybody can judge, as a ratio of two rates which
 * are measured in turns in the same run. `-- NAME` runs one: lookups, rotation, redemption,
 * ledger, clicks or links.
 */
import { CliError, runMain } from '../cli/cli-error.ts'
import { clicks } from './clicks.ts'
import { ledger } from './ledger.ts'
import { links } from './links.ts'
import { lookups } from './lookups.ts'
import { redemption } from './redemption.ts'
import { rotation } from './rotation.ts'

const benches = { lookups, rotation, redemption, ledger, clicks, links }

await runMain(async () => {
  const wanted = process.argv[2]
  if (wanted && !(wanted in benches))
    throw new CliError(`There is no bench "${wanted}": ${Object.keys(benches).join(', ')}.`)
  process.stdout.write('| measured | per second | ratio | at least |\n| --- | --- | --- | --- |\n')
  const missed: string[] = []
  for (const [name, bench] of Object.entries(benches)) {
    if (wanted && name !== wanted) continue
    for await (const { what, rate, beside, atLeast } of bench()) {
      const ratio = (rate / beside).toFixed(2)
      process.stdout.write(
        `| ${what} | ${rate.toFixed(0)} : ${beside.toFixed(0)} | ${ratio} | ${atLeast.toFixed(2)} |\n`,
      )
      if (Number(ratio) < atLeast) missed.push(what)
    }
  }
  if (missed.length) throw new CliError(`Below what is wanted: ${missed.join('; ')}.`)
})
