import { createServer } from 'node:net'
import { CliError } from '../../cli/cli-error.ts'

/** Throws an error that says what to do if a process listens on the port of 127.0.0.1. */
export async function requireFreePort(port: number): Promise<void> {
  await listen(port).catch(() => {
    throw portInUse(port)
  })
}

export function portInUse(port: number): CliError {
  return new CliError(
    `Port ${port} is in use: stop what listens there, or start with --fresh, which takes free ports.`,
  )
}

/** Returns a free port. */
export function freePort(): Promise<number> {
  return listen(0)
}

function listen(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : port))
    })
  })
}
