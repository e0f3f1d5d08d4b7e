/** The commands of docs/operations.md, run as a reader runs them. */
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { supabaseCommand } from '../../scripts/stack/programs.ts'
import { root } from '../../scripts/stack/root.ts'
import { blocksOf } from './blocks.ts'
import type { Ended } from './processes.ts'

export const operations = join(root, 'docs/operations.md')

/** The block of the document that has this text, and no other has. */
export function blockWith(text: string): string {
  const found = blocksOf(operations).filter((block) => block.text.includes(text))
  if (found.length !== 1) throw new Error(`${found.length} blocks have ${text}`)
  return String(found[0]?.text)
}

/** The commands of npm's packages as they run here: the Supabase CLI would start pg_dump in Docker, so its script is run instead. */
function runnable(block: string): string {
  const supabase = `${supabaseCommand().join(' ')} --agent no --yes`
  return block
    .replace(
      /npx supabase db dump --remote (.*?) ?--file (\S+)/g,
      `${supabase} db dump --dry-run --remote="$DATABASE_URL" $1 2>messages | bash > $2`,
    )
    .replace(/npx (supabase migration repair) --remote/g, () => {
      return `${supabase} migration repair --remote="$NEW_DATABASE_URL"`
    })
    .replaceAll('npx --no-install referbase', `${process.execPath} ${join(root, 'cli/main.ts')}`)
}

/** A folder with the repository's migrations, in which blocks are run by bash, with these programs of Postgres. */
export function openFolder(bin: string) {
  const folder = mkdtempSync(join(tmpdir(), 'referbase-operations-'))
  mkdirSync(join(folder, 'supabase'))
  for (const name of ['config.toml', 'migrations'])
    cpSync(join(root, 'supabase', name), join(folder, 'supabase', name), { recursive: true })
  const env = { PATH: `${bin}:${process.env.PATH}`, DO_NOT_TRACK: '1', NO_COLOR: '1', HOME: folder }
  return {
    run: (block: string, urls: Record<string, string>): Promise<Ended> =>
      new Promise((resolve) => {
        execFile(
          'bash',
          ['--norc', '-euo', 'pipefail', '-c', runnable(block)],
          { cwd: folder, env: { ...env, ...urls } },
          (error, stdout, stderr) =>
            resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
        )
      }),
    remove: () => rmSync(folder, { recursive: true }),
  }
}
