/**
 * `npm run demo`: runs one referral from the code to the commission, over HTTP only. It prints an observation per step, and
 * exits with code 0 only if every step succeeds. `--env-file FILE` uses a stack that is already running.
 */
import { parseArgs } from 'node:util'
import { CliError, runMain } from '../cli/cli-error.ts'
import { story } from './demo/story.ts'
import { readEnvironmentFile, type StackEnvironment, spawnStack } from './stack/spawn.ts'

await runMain(async () => {
  const environmentFile = readArguments()
  if (environmentFile) return tell(readEnvironmentFile(environmentFile))
  process.stdout.write('Starting a fresh local stack …\n')
  const stack = await spawnStack()
  try {
    await tell(stack.environment)
  } finally {
    await stack.stop()
  }
})

function readArguments(): string | undefined {
  try {
    return parseArgs({ options: { 'env-file': { type: 'string' } } }).values['env-file']
  } catch (error) {
    throw new CliError(`${(error as Error).message}. Usage: npm run demo -- [--env-file FILE]`)
  }
}

async function tell(environment: StackEnvironment): Promise<void> {
  const began = performance.now()
  let count = 0
  for await (const step of story(environment)) {
    count += 1
    process.stdout.write(
      `${step.happened ? '✓' : '✗'} ${String(count).padStart(2)}  ${step.title}\n        ${step.observed}\n`,
    )
    if (!step.happened) throw new CliError(`The demo failed at step ${count}: ${step.title}`)
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  process.stdout.write(
    `\nAll ${count} steps happened, in ${seconds} s: one referral, confirmed once.\n`,
  )
}
