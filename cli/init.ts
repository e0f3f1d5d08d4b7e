/** `referbase init`: migrations, edge functions and settings for the adopter's repository. */
import { type InstallOptions, install } from './repository/install.ts'
import { installCommand } from './repository/install-command.ts'
import { readInstalled } from './repository/installed.ts'
import { findRepository } from './repository/repository.ts'

export const init = installCommand('init')
  .description('Add referbase to the Supabase project in this folder.')
  .action(async (options: InstallOptions) => {
    const repository = findRepository()
    await install(repository, readInstalled(repository), options)
  })
