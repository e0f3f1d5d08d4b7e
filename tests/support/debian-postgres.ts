/** Debian's Postgres, which has the client programs that npm's lacks: pg_dump and psql, of the server's own version. */
import { existsSync, readdirSync } from 'node:fs'
import type { Programs } from '../../scripts/stack/postgres.ts'

const folder = '/usr/lib/postgresql'
const needed = ['initdb', 'pg_ctl', 'pg_dump', 'psql', 'postgres']

/** The programs of the newest version. */
export function debianPostgres(): Programs {
  const versions = existsSync(folder) ? readdirSync(folder).map(Number) : []
  const [version] = versions
    .filter((version) => needed.every((name) => existsSync(`${folder}/${version}/bin/${name}`)))
    .sort((a, b) => b - a)
  if (!version)
    throw new Error('Postgres is missing: install it, on Debian with "apt-get install postgresql"')
  return { bin: `${folder}/${version}/bin`, locale: ['--locale=C.UTF-8'] }
}
