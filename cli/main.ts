/** `referbase <command>`: what an adopter runs in their own repository. Each command is a file of its own. */
import './node-20.ts'

import { run } from './run.ts'

// Nobody reads on, as after `| head`: a program that writes to a closed pipe ends so.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
  process.exit(code === 'EPIPE' ? 141 : 1)
})

process.exitCode = await run(process.argv.slice(2))
