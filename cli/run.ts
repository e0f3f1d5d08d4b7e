import { Command, CommanderError } from 'commander'
import { CliError } from './cli-error.ts'
import { commands } from './commands.ts'
import { pack } from './pack.ts'

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

function programOf(): Command {
  const program = new Command('referbase')
    .description('A referral programme inside your own Supabase project.')
    .version(pack.version)
    .showHelpAfterError()
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .option(
      '--env-file <file>',
      'read SUPABASE_URL, SUPABASE_SECRET_KEY and the like from this file',
    )
    .hook('preAction', (root) => readEnvironmentFile(root.opts<{ envFile?: string }>().envFile))
    .exitOverride()
  for (const command of commands) program.addCommand(command)
  inheritSettings(program)
  return program
}

/** A command that is made apart has neither the help nor the exit codes of the one above it. */
function inheritSettings(parent: Command): void {
  for (const command of parent.commands) inheritSettings(command.copyInheritedSettings(parent))
}

/** Values that are set already are kept. */
function readEnvironmentFile(file: string | undefined): void {
  if (file === undefined) return
  try {
    process.loadEnvFile(file)
  } catch {
    throw new CliError(`The file ${file} of --env-file cannot be read.`)
  }
}
