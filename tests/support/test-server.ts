import { inject } from 'vitest'

/** The run's Postgres server, for what makes a database of its own. */
export function testServer() {
  const { admin, postgres } = inject('servers')
  return {
    url: (database: string, user: string) =>
      (user === 'postgres' ? postgres : admin).replace('DATABASE', database),
  }
}
