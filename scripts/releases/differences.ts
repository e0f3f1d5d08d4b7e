/** Every difference between the migrations and sql/, as two databases of a server have them. */
import { diffLines } from 'diff'
import postgres from 'postgres'
import { CliError } from '../../cli/cli-error.ts'
import type { Postgres } from '../stack/postgres.ts'
import { supabase } from '../stack/supabase.ts'
import { type Facts, readFacts } from './facts.ts'

/** What a difference of each kind is called, and what to do about it. */
const kinds: Record<keyof Facts, (name: string, migrated: string, sourced: string) => string> = {
  order: (name, migrated, sourced) =>
    `The columns of ${name} are (${migrated}) in supabase/migrations, and (${sourced}) in sql/: a migration adds a column at the end, so add it at the end in sql/, too.`,
  body: (name, ...texts) =>
    `The function ${name} has another text in supabase/migrations than in sql/: copy it from sql/ into the unreleased migration.\n${linesOf(...texts)}`,
  comment: (name, ...texts) => `The comment on ${name} differs.\n${linesOf(...texts)}`,
  grant: (name, ...texts) => `The grants on ${name} differ.\n${linesOf(...texts)}`,
  rows: (name, ...texts) =>
    `The rows of ${name} differ: write them into the unreleased migration, as sql/ inserts them.\n${linesOf(...texts)}`,
}

/** A sentence for each difference; none where the databases are the same. */
export async function differences(
  server: Pick<Postgres, 'url'>,
  migrated: string,
  sourced: string,
): Promise<string[]> {
  const [there, back, of, to] = await Promise.all([
    schemaDiff(server, migrated, sourced),
    schemaDiff(server, sourced, migrated),
    factsOf(server, migrated),
    factsOf(server, sourced),
  ])
  const found = Object.entries(kinds).flatMap(([kind, sentence]) => {
    const [a, b] = [of[kind as keyof Facts], to[kind as keyof Facts]]
    // A table, column, type or function that only one has is in the diff of the schemas.
    const isOf = ['order', 'body', 'rows'].includes(kind)
    const isOther = (name: string) =>
      kind === 'order' && sorted(a.get(name)) !== sorted(b.get(name))
    return [...new Set([...a.keys(), ...b.keys()])]
      .filter((name) => a.get(name) !== b.get(name))
      .filter((name) => !isOf || (a.has(name) && b.has(name) && !isOther(name)))
      .map((name) => sentence(name, a.get(name) ?? '', b.get(name) ?? ''))
  })
  if (there || back)
    found.push(`supabase db diff from supabase/migrations to sql/ is not empty:\n${there || back}`)
  return found
}

const sorted = (list = '') => list.split(', ').sort().join()

/** What turns one database into the other, as SQL by the Supabase CLI; empty where both have the same schema. */
export async function schemaDiff(
  server: Pick<Postgres, 'url'>,
  from: string,
  to: string,
): Promise<string> {
  const [a, b] = [server.url(from, 'postgres'), server.url(to, 'postgres')]
  const { code, stdout, stderr } = await supabase(['db', 'diff', '--from', a, '--to', b])
  if (code !== 0) throw new CliError(`supabase db diff failed: ${stderr}`)
  return stdout
    .split('\n')
    .filter((line) => !/^(Target|Connecting|No schema changes)/.test(line))
    .join('\n')
    .trim()
}

async function factsOf(server: Pick<Postgres, 'url'>, database: string): Promise<Facts> {
  const sql = postgres(server.url(database, 'postgres'), { max: 1 })
  try {
    return await readFacts(sql)
  } finally {
    await sql.end()
  }
}

/** The lines that only the migrations have, with a minus, and those that only sql/ has, with a plus. */
const linesOf = (migrated: string, sourced: string) =>
  diffLines(`${migrated}\n`, `${sourced}\n`)
    .filter(({ added, removed }) => added || removed)
    .flatMap(({ added, value }) =>
      value
        .trimEnd()
        .split('\n')
        .map((line) => `  ${added ? '+' : '-'} ${line}`),
    )
    .slice(0, 20)
    .join('\n')
