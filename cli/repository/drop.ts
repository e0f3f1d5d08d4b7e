import postgres from 'postgres'
import { CliError } from '../cli-error.ts'
import type { RemovalPlan } from './plan-removal.ts'
import { exportedSetting } from './removal.ts'

/** Drops the schemas, and records the migration as the Supabase CLI does when it applies one. */
export async function dropSchemas(
  tx: postgres.TransactionSql,
  { statements, record, cascade }: RemovalPlan,
): Promise<void> {
  await tx`select set_config(${exportedSetting}, 'yes', true)`
  for (const statement of statements) {
    await tx.unsafe(statement).catch((error) => {
      if (!(error instanceof postgres.PostgresError) || !/^referbase: /.test(error.message))
        throw error
      const hint = record && !cascade ? ' Or drop them with this command: --cascade.' : ''
      throw new CliError(`${error.message}${hint}\nNothing was dropped. The export stays.`)
    })
  }
  if (!record) return
  await tx`
    insert into supabase_migrations.schema_migrations (version, name, statements)
    values (${record.version}, ${record.name}, ${statements})`
}
