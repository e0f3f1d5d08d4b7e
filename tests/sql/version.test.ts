import { expect, test } from 'vitest'
import { pack } from '../../cli/pack.ts'
import { version } from '../../functions/_shared/version.ts'
import { operator } from '../support/actors.ts'
import { testDatabase } from '../support/database.ts'

const sql = await testDatabase()

test('the database, the edge functions and the package have one version', async () => {
  expect(await operator(sql).rpc('installed_version')).toEqual([
    { installed_version: pack.version },
  ])
  expect(version).toBe(pack.version)
})
