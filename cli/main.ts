/** `referbase <command>`: what an adopter runs in their own repository. Each command is a file of its own. */
import { Command, CommanderError } from 'commander'
import { CliError } from './cli-error.ts'
import { commands } from './commands.ts'
import { pack } from './pack.ts'

const program = new Command('referbase')
  .description('A referral programme inside your own Supabase project.')
  .version(pack.version)
  .showHelpAfterError()
  .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
  .option('--env-file <file>', 'read SUPABASE_URL, SUPABASE_SECRET_KEY and the like from this file')
  .hook('preAction', (root) => readEnvironmentFile(root.opts<{ envFile?: string }>().envFile))
  .exitOverride()

for (const command of commands) program.addCommand(command)
inheritSettings(program)

/** A command that is made apart has neither the help nor the exit codes of the one above it. */
function inheritSettings(parent: Command): void {
  for (const command of parent.commands) inheritSettings(command.copyInheritedSettings(parent))
}

// Nobody reads on, as after `| head`: a program that writes to a closed pipe ends so.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
  process.exit(code === 'EPIPE' ? 141 : 1)
})

/** Values that are set already are kept. */
function readEnvironmentFile(file: string | undefined): void {
  if (file === undefined) return
  try {
    process.loadEnvFile(file)
  } catch {
    throw new CliError(`The file ${file} of --env-file cannot be read.`)
  }
}

try {
  await program.parseAsync()
} catch (error) {
  // commander has printed what is wrong.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2
  else {
    const known = error instanceof CliError
    const message = error instanceof Error ? error.message : String(error)
    process.stderr.write(`${known ? message : `Unexpected error: ${message}`}\n`)
    if (!known && process.env.REFERBASE_DEBUG) process.stderr.write(`${(error as Error).stack}\n`)
    process.exitCode = 1
  }
}
