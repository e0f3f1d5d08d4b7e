import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'smol-toml'
import { z } from 'zod'
import { root } from './root.ts'

const shape = z.object({
  api: z.object({ schemas: z.array(z.string()).min(1), max_rows: z.int().positive() }),
})

/** What supabase/config.toml says of the Data API: a deployment exposes the schemas that it names. */
export function configuredApi(): { schemas: string[]; max_rows: number } {
  return shape.parse(parse(readFileSync(join(root, 'supabase/config.toml'), 'utf8'))).api
}
