/** Runs a local stack until Ctrl-C, or until the process that started it ends. */
import { rmSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { prepareEnvironmentFile, writeEnvironmentFile } from './environment-file.ts'
import { startJobs } from './jobs.ts'
import { whenNpmEnds } from './npm-parent.ts'
import { type Stack, type StackOptions, startStack } from './stack.ts'

type Options = Omit<StackOptions, 'signal'> & {
  /** Is written with the URLs and keys when all services respond, and removed at the end. */
  environmentFile?: string | undefined
  untilStdinEnds?: boolean
  /** Whether the jobs run, as pg_cron would run them. */
  jobs?: boolean
  /** What is printed when all services respond. */
  report: (stack: Stack) => string
}

/** Ends this process with exit code 0 when the stack has stopped. */
export async function runStack(options: Options): Promise<never> {
  const { environmentFile, untilStdinEnds, jobs, report, ...settings } = options
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
  let stopJobs = () => {}
  try {
    stack = await startStack({ ...settings, signal: stopping.signal })
    if (!stopping.signal.aborted) {
      if (jobs) stopJobs = await startJobs(String(stack.environment.DATABASE_URL))
      if (environmentFile) writeEnvironmentFile(environmentFile, stack.environment)
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
    stopJobs()
    await stack?.stop()
  }
  process.stdout.write('stopped\n')
  // Only streams to log files can still be open.
  process.exit(0)
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
