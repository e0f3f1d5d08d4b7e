/** `referbase upgrade`: what this package has and the repository lacks, and what the adopter must do. */
import { CliError } from './cli-error.ts'
import { type InstallOptions, install } from './repository/install.ts'
import { installCommand } from './repository/install-command.ts'
import { readInstalled } from './repository/installed.ts'
import { findRepository } from './repository/repository.ts'

export const upgrade = installCommand('upgrade')
  .description('Bring referbase in this repository to the version of this package.')
  .action(async (options: InstallOptions) => {
    const repository = findRepository()
    const installed = readInstalled(repository)
    if (installed.version === undefined) {
      throw new CliError(
        'referbase is not installed in this repository. Run `npx --no-install referbase init`.',
      )
    }
    await install(repository, installed, options)
  })
