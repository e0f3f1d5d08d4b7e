/** A database of its own for a test file, whose default collation is a locale's. */
import type postgres from 'postgres'
import { applyMigrations, createProject } from '../../scripts/stack/database.ts'
import { onAdmin, testDatabase } from './database.ts'
import { testServer } from './test-server.ts'

/** It is migrated, and no copy: a copy has the collation of its template. */
export const collatedDatabase = (locale: string): Promise<postgres.Sql> =>
  testDatabase(async (name) => {
    await onAdmin((admin) =>
      admin.unsafe(
        `create database ${name} template template0 locale_provider icu icu_locale '${locale}'`,
      ),
    )
    await createProject(testServer(), name)
    await applyMigrations(testServer(), name)
  })
