/** Rates of two workloads, measured in turns, so that neither the client nor the machine's mood is what is compared. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import postgres from 'postgres'
import { CliError } from '../cli/cli-error.ts'

/**
 * One statement, again and again, in which `:n` stands for a number drawn from 1 to `upTo`. `unprepared` sends its text each
 * time, as behind a pooler, which takes pgbench.
 */
export type Workload = {
  url: string
  statement: string
  upTo: number
  connections: number
  unprepared?: boolean
}

export type Comparison = { what: string; rate: number; beside: number; atLeast: number }

/** `BENCH_ROUNDS` and `BENCH_SECONDS` make a run shorter, and its figures less certain. */
const rounds = Number(process.env.BENCH_ROUNDS ?? 7)
const seconds = Number(process.env.BENCH_SECONDS ?? 3)

/** The median rates of a workload and of the one it is compared with. An error in either ends the run. */
export async function compare(
  what: string,
  atLeast: number,
  measured: Workload,
  against: Workload,
): Promise<Comparison> {
  const perSecond = (await execute('pgbench', ['--version']).catch(() => null)) ? pgbench : loop
  const rates = { measured: [] as number[], against: [] as number[] }
  for (const workload of [measured, against]) await perSecond(workload, 1)
  for (let round = 0; round < rounds; round++) {
    rates.against.push(await perSecond(against, seconds))
    rates.measured.push(await perSecond(measured, seconds))
  }
  return { what, rate: median(rates.measured), beside: median(rates.against), atLeast }
}

const execute = promisify(execFile)

/** Transactions per second by pgbench, with prepared statements unless the workload is without. */
async function pgbench(
  { url, statement, upTo, connections, unprepared = false }: Workload,
  seconds: number,
): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'referbase-bench-'))
  const script = join(folder, 'transaction.sql')
  writeFileSync(script, `\\set n random(1, ${upTo})\n${statement.replaceAll(/\s+/g, ' ')};`)
  const mode = unprepared ? 'extended' : 'prepared'
  const options = ['-n', '-M', mode, '-c', connections, '-j', 2, '-T', seconds, '-f', script]
  try {
    const { stdout } = await execute('pgbench', [...options.map(String), url])
    return Number(/tps = ([\d.]+)/.exec(stdout)?.[1])
  } catch (error) {
    throw new CliError(`A transaction failed: ${(error as { stderr?: string }).stderr}`)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** The same without pgbench: a loop inside the server on every connection, each round a transaction. */
async function loop(
  { url, statement, upTo, connections, unprepared }: Workload,
  seconds: number,
): Promise<number> {
  if (unprepared)
    throw new CliError(
      'pgbench is missing: install it, on Debian with "apt-get install postgresql"',
    )
  const sql = postgres(url, { max: connections, onnotice: () => {} })
  const body = statement
    .trim()
    .replace(/^select/, 'perform')
    .replaceAll(':n', 'n')
  try {
    const counts = await Promise.all(
      Array.from({ length: connections }, async (_, i) => {
        await sql.unsafe(`
          create or replace procedure public.bench_${i}(inout done int) language plpgsql as $bench$
          declare
            v_until timestamptz := clock_timestamp() + interval '${seconds} seconds';
            n int;
          begin
            while clock_timestamp() < v_until loop
              n := 1 + floor(random() * ${upTo});
              ${body};
              commit;
              done := done + 1;
            end loop;
          end $bench$`)
        return Number((await sql.unsafe(`call public.bench_${i}(0)`))[0]?.done)
      }),
    )
    return counts.reduce((sum, count) => sum + count, 0) / seconds
  } finally {
    await sql.end()
  }
}

export const median = (values: number[]) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
