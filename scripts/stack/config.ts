import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'smol-toml'
import { z } from 'zod'
import { root } from './root.ts'

const shape = z.object({
  api: z.object({ schemas: z.array(z.string()).min(1), max_rows: z.int().positive() }),
  functions: z.record(z.string(), z.object({ entrypoint: z.string() })),
})

const configured = () =>
  shape.parse(parse(readFileSync(join(root, 'supabase/config.toml'), 'utf8')))

/** What supabase/config.toml says of the Data API: a deployment exposes the schemas that it names. */
export const configuredApi = (): { schemas: string[]; max_rows: number } => configured().api

/** The file of each edge function, by the name under which supabase/config.toml deploys it. */
export const configuredFunctions = (): Map<string, string> =>
  new Map(
    Object.entries(configured().functions).map(([name, { entrypoint }]) => [
      name,
      join(root, 'supabase', entrypoint),
    ]),
  )
