/** What is generated from sql/ and the client's comments: sql/90_api.sql, docs/api.md, docs/client.md, client/call-errors.ts. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import postgres from 'postgres'
import { CliError } from '../../cli/cli-error.ts'
import { apiFile, sqlFiles } from '../sql-files.ts'
import { createProject, execute } from '../stack/database.ts'
import type { Postgres } from '../stack/postgres.ts'
import { root } from '../stack/root.ts'
import { formatTypes } from '../types.ts'
import { callErrorsOf } from './call-errors.ts'
import { clientMethods } from './client-methods.ts'
import { clientReferenceOf } from './client-reference.ts'
import { readFaces } from './faces.ts'
import { referenceOf } from './reference.ts'
import { enumTypes, rowTypes } from './row-types.ts'
import { sourceFiles } from './sources.ts'
import { wrappersOf } from './wrappers.ts'

const apiDocument = 'docs/api.md'
const clientDocument = 'docs/client.md'
const callErrorsFile = 'client/call-errors.ts'

/** The texts of the files, by path, as the other files of sql/ have them now. Loads those into a database of the server. */
export async function generateApi(server: Postgres): Promise<Record<string, string>> {
  const database = 'without_api'
  await execute(server.url('postgres', 'supabase_admin'), `create database ${database}`)
  await createProject(server, database)
  for (const file of await sqlFiles()) {
    if (file !== apiFile) await loadFile(server.url(database, 'postgres'), file)
  }
  const sql = postgres(server.url(database, 'postgres'), { max: 1 })
  try {
    const faces = await readFaces(sql)
    const errors = await sql<{ code: string }[]>`select code from referral_private.error_registry()`
    const codes = errors.map(({ code }) => code)
    return {
      [apiFile]: format(apiFile, wrappersOf(faces)),
      [callErrorsFile]: formatTypes(callErrorsFile, callErrorsOf(codes, faces)),
      [clientDocument]: clientReferenceOf(faces),
      [apiDocument]: referenceOf({
        faces,
        methods: await clientMethods(),
        sources: await sourceFiles(),
        rowTypes: await rowTypes(sql),
        enums: await enumTypes(sql),
      }),
    }
  } finally {
    await sql.end()
  }
}

/** Runs a file of sql/; an error names the file and where it is. */
export async function loadFile(url: string, file: string, folder = root): Promise<void> {
  await execute(url, { file: join(folder, file) }).catch((error: unknown) => {
    if (!(error instanceof postgres.PostgresError)) throw error
    throw new CliError(`${file}: ${error.message}${error.where ? ` (${error.where})` : ''}`)
  })
}

function format(path: string, text: string): string {
  const prettier = join(root, 'node_modules/.bin/prettier')
  const { status, stdout, stderr } = spawnSync(prettier, ['--stdin-filepath', path], {
    cwd: root,
    input: text,
    encoding: 'utf8',
    maxBuffer: 2 ** 24,
  })
  if (status !== 0) throw new CliError(`prettier cannot format ${path}: ${stderr}`)
  return stdout
}
