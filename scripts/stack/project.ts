/** The project that a stack serves: what the `supabase` folder of a repository holds, and what its config.toml says. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'smol-toml'
import { z } from 'zod'
import { CliError } from '../../cli/cli-error.ts'

export type EdgeFunction = {
  name: string
  entrypoint: string
  /** The `deno.json` or import map of the function. */
  config?: string | undefined
  /** Whether callers need a token or an API key. */
  verifiesJwt: boolean
}

export type Project = {
  /** The folder that holds `supabase`. */
  folder: string
  api: { port: number; schemas: string[]; max_rows: number }
  db: { port: number }
  functions: EdgeFunction[]
  /**
   * Where functions take `npm:` packages from: the project's `node_modules`, which then has exactly their versions, or the
   * registry, as on Supabase's platform.
   */
  packages: 'installed' | 'downloaded'
}

const port = (otherwise: number) => z.int().positive().default(otherwise)

/** The values that the Supabase CLI takes where config.toml has none. */
const shape = z.object({
  api: z
    .object({
      port: port(54321),
      schemas: z.array(z.string()).min(1).default(['public', 'graphql_public']),
      max_rows: z.int().positive().default(1000),
    })
    .prefault({}),
  db: z.object({ port: port(54322) }).prefault({}),
  functions: z
    .record(
      z.string(),
      z.object({
        enabled: z.boolean().default(true),
        verify_jwt: z.boolean().default(true),
        entrypoint: z.string().optional(),
        import_map: z.string().optional(),
      }),
    )
    .prefault({}),
})

type Configured = z.infer<typeof shape>['functions'][string]

/** Reads the project in a folder. */
export function readProject(folder: string, packages: Project['packages'] = 'downloaded'): Project {
  const { api, db, functions } = readConfig(join(folder, 'supabase/config.toml'))
  const names = new Set([...functionFolders(folder), ...Object.keys(functions)])
  const served = [...names].map((name) => edgeFunction(folder, name, functions[name]))
  return { folder, api, db, functions: served.filter((found) => found !== undefined), packages }
}

function readConfig(file: string): z.infer<typeof shape> {
  if (!existsSync(file))
    throw new CliError(`There is no ${file}. In the folder of your project, run "supabase init".`)
  try {
    return shape.parse(parse(readFileSync(file, 'utf8')))
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message
    throw new CliError(`${file} cannot be used: ${reason}`)
  }
}

const sources = ['index.ts', 'index.js', 'index.mjs', 'index.tsx', 'index.jsx']

/** The folders of functions. Those whose names begin with an underscore are shared code. */
function functionFolders(folder: string): string[] {
  const functions = join(folder, 'supabase/functions')
  if (!existsSync(functions)) return []
  return readdirSync(functions, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !/^[._]/.test(entry.name))
    .map(({ name }) => name)
    .filter((name) => firstOf(join(functions, name), sources))
}

function edgeFunction(
  folder: string,
  name: string,
  configured?: Configured,
): EdgeFunction | undefined {
  if (configured?.enabled === false) return undefined
  const supabase = join(folder, 'supabase')
  const own = join(supabase, 'functions', name)
  const entrypoint = configured?.entrypoint
    ? join(supabase, configured.entrypoint)
    : firstOf(own, sources)
  if (!entrypoint || !existsSync(entrypoint))
    throw new CliError(
      `supabase/config.toml has the function "${name}", but there is no ${entrypoint ?? join(own, 'index.ts')}.`,
    )
  const config = configured?.import_map
    ? join(supabase, configured.import_map)
    : (firstOf(own, ['deno.json', 'deno.jsonc', 'import_map.json']) ??
      firstOf(join(supabase, 'functions'), ['import_map.json', 'deno.json']))
  return { name, entrypoint, config, verifiesJwt: configured?.verify_jwt ?? true }
}

const firstOf = (folder: string, names: string[]): string | undefined =>
  names.map((name) => join(folder, name)).find((file) => existsSync(file))
