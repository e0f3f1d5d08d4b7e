import { Command } from 'commander'
import { CliError } from './cli-error.ts'
import { commands } from './commands.ts'
import { pack } from './pack.ts'

/** The whole command line: `referbase`, its options and its commands. */
export function programOf(): Command {
  const program = new Command('referbase')
    .description('A referral programme inside your own Supabase project.')
    .version(pack.version)
    .showHelpAfterError('Run it with --help for the options.')
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
