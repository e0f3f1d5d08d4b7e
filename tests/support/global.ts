/** Once per run: a throw-away Postgres with a migrated template database, and a local stack. */
import type { TestProject } from 'vitest/node'
import { applyMigrations, createProject, execute } from '../../scripts/stack/database.ts'
import { type StackEnvironment, spawnStack } from '../../scripts/stack/spawn.ts'
import { startThrowawayPostgres } from '../../scripts/stack/throwaway.ts'
import { createReversed } from './reversed-columns.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** `postgresql://…/DATABASE` of the throw-away server, as superuser and as `postgres`, and the database to copy. */
    servers: { admin: string; postgres: string; template: string }
    stack: StackEnvironment
  }
}

const template = 'template_migrated'

/** Starts both; what was started is stopped also when the rest fails, as vitest then calls no teardown. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  // npm run mutate has one server for all of its runs.
  const { TEST_SERVERS: running } = process.env
  if (running) {
    project.provide('servers', JSON.parse(running))
    return async () => {}
  }
  const stops: (() => Promise<void>)[] = []
  const teardown = async () => {
    await Promise.all(stops.splice(0).map((stop) => stop()))
  }
  try {
    // A mutation of the schema (npm run mutate) is for the tests that need the database only.
    const { MUTATION: mutation } = process.env
    const stackStarts = mutation
      ? undefined
      : spawnStack().then((stack) => {
          stops.push(stack.stop)
          return stack
        })
    const server = await startThrowawayPostgres()
    stops.push(server.stop)
    await execute(server.url('postgres', 'supabase_admin'), `create database ${template}`)
    if (process.env.COLUMNS_REVERSED) await createReversed(server, template)
    else {
      await createProject(server, template)
      await applyMigrations(server, template)
    }
    project.provide('servers', {
      admin: server.url('DATABASE', 'supabase_admin'),
      postgres: server.url('DATABASE', 'postgres'),
      template,
    })
    if (mutation) await execute(server.url(template, 'postgres'), mutation)
    if (stackStarts) project.provide('stack', (await stackStarts).environment)
    return teardown
  } catch (error) {
    await teardown()
    throw error
  }
}
