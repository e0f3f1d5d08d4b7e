import { parseArgs } from 'node:util'
import { createClient } from '@supabase/supabase-js'
import { CliError } from '../../cli/cli-error.ts'
import { readProject } from '../../cli/project.ts'

/**
 * Reads the arguments of both scripts: `--org ID`, `--program ID`, `--dry-run` where the usage names it, and a file. SUPABASE_URL and SUPABASE_SECRET_KEY come from
 * the environment.
 */
export function readArguments(usage: string) {
  const project = readProject()
  const options = {
    org: { type: 'string' },
    program: { type: 'string' },
    'dry-run': { type: 'boolean' },
  } as const
  const parsed = (() => {
    try {
      return parseArgs({ options, allowPositionals: true })
    } catch (error) {
      throw new CliError(`${(error as Error).message}. Usage: ${usage}`)
    }
  })()
  const { org, program } = parsed.values
  const [file] = parsed.positionals
  const dryRun = parsed.values['dry-run'] ?? false
  if (!org || !file || parsed.positionals.length > 1 || (dryRun && !usage.includes('--dry-run')))
    throw new CliError(`Usage: ${usage}`)
  const supabase = createClient(project.url, project.key)
  return { supabase, org, program, file, dryRun }
}
