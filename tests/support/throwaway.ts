/** A throw-away Postgres of its own for a test file, without a template. */
import { afterAll } from 'vitest'
import type { Postgres } from '../../scripts/stack/postgres.ts'
import { startThrowawayPostgres } from '../../scripts/stack/throwaway.ts'

/** Starts it, and stops it after the file's last test. */
export async function throwawayServer(): Promise<Postgres> {
  const server = await startThrowawayPostgres()
  afterAll(() => server.stop())
  return server
}
