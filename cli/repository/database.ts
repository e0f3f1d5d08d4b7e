/** The adopter's database, for the commands that read its history or drop what is in it. */
import postgres from 'postgres'
import { CliError } from '../cli-error.ts'

/** Runs work on one connection. An error of the database is told without the password of the URL. */
export async function withDatabase<Result>(
  url: string,
  work: (sql: postgres.Sql) => Promise<Result>,
): Promise<Result> {
  const sql = connect(url)
  const { host } = new URL(url)
  try {
    await sql`select`.catch((error: Error) => {
      throw new CliError(`The database at ${host} cannot be reached: ${error.message}`)
    })
    return await work(sql)
  } catch (error) {
    if (!(error instanceof postgres.PostgresError)) throw error
    throw new CliError(`The database at ${host} refuses: ${error.message}`)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** Without prepared statements, which a pooler may not have. */
function connect(url: string): postgres.Sql {
  try {
    const { searchParams } = new URL(url)
    return postgres(url, {
      max: 1,
      prepare: false,
      connect_timeout: 15,
      onnotice: () => {},
      ...(searchParams.has('sslmode') ? {} : { ssl: 'prefer' as const }),
    })
  } catch {
    throw new CliError(
      'The database URL is not like postgresql://USER:PASSWORD@HOST:PORT/DATABASE.',
    )
  }
}

/** `host:port/database`, without user and password. */
export const placeOf = ({ options }: postgres.Sql): string =>
  `${options.host[0]}:${options.port[0]}/${options.database}`

/** The versions in the history of the Supabase CLI; undefined where there is no history yet. */
export async function readHistory(
  sql: postgres.Sql | postgres.TransactionSql,
): Promise<string[] | undefined> {
  const [found] = await sql`select to_regclass('supabase_migrations.schema_migrations') as name`
  if (found?.name === null) return undefined
  const rows = await sql<{ version: string }[]>`
    select version from supabase_migrations.schema_migrations order by version`
  return rows.map(({ version }) => version)
}
