/**
 * `npm run bench`: what the hot paths cost, each beside something that anybody can judge, as a ratio of two rates which
 * are measured in turns in the same run. `-- NAME` runs one: lookups, growth, rotation, redemption, ledger, clicks, links,
 * cold, pooler, holds, which are milliseconds beside those of a renewal, memory, in MiB, or sizes, in bytes.
 */
import { CliError, runMain } from '../cli/cli-error.ts'
import { clicks } from './clicks.ts'
import { cold } from './cold.ts'
import { growth } from './growth.ts'
import { holds } from './holds.ts'
import { ledger } from './ledger.ts'
import { links } from './links.ts'
import { lookups } from './lookups.ts'
import { memory } from './memory.ts'
import { pooler } from './pooler.ts'
import { redemption } from './redemption.ts'
import { rotation } from './rotation.ts'
import { sizes } from './sizes.ts'

const benches = { lookups, growth, rotation, redemption, ledger, clicks, links, cold, pooler }

await runMain(async () => {
  const wanted = process.argv[2]
  const names = [...Object.keys(benches), 'holds', 'memory', 'sizes']
  if (wanted && !names.includes(wanted))
    throw new CliError(`There is no bench "${wanted}": ${names.join(', ')}.`)
  const missed: string[] = []
  if (!wanted || wanted in benches) missed.push(...(await printRates(wanted)))
  if (!wanted || wanted === 'holds') missed.push(...(await printHolds()))
  if (!wanted || wanted === 'memory') missed.push(...(await printMemory()))
  if (!wanted || wanted === 'sizes') await printSizes()
  if (missed.length) throw new CliError(`Not what is wanted: ${missed.join('; ')}.`)
})

/** Prints ratios of rates, of one bench or all. Gives what is below what is wanted. */
async function printRates(wanted?: string): Promise<string[]> {
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
  return missed
}

/** Prints the longest holds of the account lock beside a renewal's. Gives what is longer than wanted. */
async function printHolds(): Promise<string[]> {
  process.stdout.write(
    '| the account lock is held | longest, ms | of transactions | ms in all | a renewal, ms | ratio | at most |\n' +
      '| --- | --- | --- | --- | --- | --- | --- |\n',
  )
  const missed: string[] = []
  for await (const { what, longest, transactions, total, renewal, atMost } of holds()) {
    const [ms, all, ratio] = [longest, total, longest / renewal].map((n, i) =>
      Number.isFinite(n) ? n.toFixed(0) : i < 2 ? '> 60,000' : 'too many',
    )
    process.stdout.write(
      `| ${what} | ${ms} | ${transactions} | ${all} | ${renewal.toFixed(2)} | ${ratio} | ${atMost} |\n`,
    )
    if (longest > atMost * renewal) missed.push(what)
  }
  return missed
}

/** Prints the memory of the edge functions. Gives what takes more than wanted. */
async function printMemory(): Promise<string[]> {
  process.stdout.write(
    '| memory | requests | idle, MiB | after, MiB | at most |\n| --- | --- | --- | --- | --- |\n',
  )
  const missed: string[] = []
  for await (const { what, requests, idle, after, atMost } of memory()) {
    process.stdout.write(
      `| ${what} | ${requests} | ${idle.toFixed(0)} | ${after.toFixed(0)} | ${atMost} |\n`,
    )
    if (after > atMost) missed.push(what)
  }
  return missed
}

/** Prints what a thing takes on the disk. */
async function printSizes(): Promise<void> {
  process.stdout.write('| on the disk, with indexes | bytes |\n| --- | --- |\n')
  for await (const { what, bytes } of sizes())
    process.stdout.write(`| ${what} | ${bytes.toFixed(0)} |\n`)
}
