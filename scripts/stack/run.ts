/** Runs a local stack until Ctrl-C, or until the process that started it ends. */
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { CliError } from '../../cli/cli-error.ts'
import { whenNpmEnds } from './npm-parent.ts'
import { type Stack, type StackOptions, startStack } from './stack.ts'

type Options = Omit<StackOptions, 'signal'> & {
  /** Is written with the URLs and keys when all services respond, and removed at the end. */
  environmentFile?: string | undefined
  untilStdinEnds?: boolean
  /** What is printed when all services respond. */
  report: (stack: Stack) => string
}

/** Ends this process with exit code 0 when the stack has stopped. */
export async function runStack(options: Options): Promise<never> {
  const { environmentFile, untilStdinEnds, report, ...settings } = options
  const stopping = new AbortController()
  const interrupted = new Promise<void>((resolve) => {
    const stop = () => {
      stopping.abort()
      resolve()
    }
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
    if (untilStdinEnds) process.stdin.once('end', stop).resume()
    whenNpmEnds(stop)
  })
  if (environmentFile) prepareEnvironmentFile(environmentFile)

  let stack: Stack | undefined
  try {
    stack = await startStack({ ...settings, signal: stopping.signal })
    if (!stopping.signal.aborted) {
      if (environmentFile) writeEnvironmentFile(environmentFile, stack)
      process.stdout.write(report(stack))
      if (settings.exposed) process.stdout.write(exposure(stack))
      await interrupted
      process.stdout.write('\nstopping …\n')
    }
  } catch (error) {
    // Ctrl-C also ends the programs that are starting. Their errors are expected then.
    if (!stopping.signal.aborted) throw error
  } finally {
    if (environmentFile) rmSync(environmentFile, { force: true })
    await stack?.stop()
  }
  process.stdout.write('stopped\n')
  // Only streams to log files can still be open.
  process.exit(0)
}

/** Removes an old file, so that no process reads it, and fails early if the file cannot be written. */
function prepareEnvironmentFile(file: string): void {
  try {
    writeFileSync(`${file}.new`, '', { mode: 0o600 })
    rmSync(file, { force: true })
    rmSync(`${file}.new`)
  } catch {
    throw new CliError(`The env file ${file} cannot be written.`)
  }
}

/** Writes the file in one step, so that a waiting process reads it whole. */
function writeEnvironmentFile(file: string, { environment }: Stack): void {
  const lines = Object.entries(environment).map(([name, value]) => `${name}=${value}\n`)
  writeFileSync(`${file}.new`, lines.join(''), { mode: 0o600 })
  renameSync(`${file}.new`, file)
}

/** The addresses at which others on the network reach the API. */
function exposure({ environment }: Stack): string {
  const { port } = new URL(environment.SUPABASE_URL ?? '')
  const addresses = Object.values(networkInterfaces())
    .flatMap((found) => found ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .map(({ address }) => address)
  return `
Warning: everybody on your network reaches this stack, for example at
${addresses.map((address) => `  http://${address}:${port}`).join('\n')}
`
}
