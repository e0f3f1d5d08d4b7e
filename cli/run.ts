import { CommanderError } from 'commander'
import { CliError } from './cli-error.ts'
import { programOf } from './program.ts'

/**
 * Runs a command line, and returns the exit code: 0 if all is well, 1 if something failed or is not as it should be, 2 if
 * the command line is wrong. An error is one sentence on standard error.
 */
export async function run(args: string[]): Promise<number> {
  process.exitCode = 0
  try {
    await programOf().parseAsync(args, { from: 'user' })
    return Number(process.exitCode)
  } catch (error) {
    // commander has printed what is wrong.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    const known = error instanceof CliError
    const message = error instanceof Error ? error.message : String(error)
    process.stderr.write(`${known ? message : `Unexpected error: ${message}`}\n`)
    if (!known && process.env.REFERBASE_DEBUG) process.stderr.write(`${(error as Error).stack}\n`)
    return 1
  }
}
