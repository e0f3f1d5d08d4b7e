/** `npm run check`: runs all checks in order. It prints the first step that fails, and stops there. */
import { spawnSync } from 'node:child_process'
import { root } from './stack/root.ts'

const steps: [name: string, command: string][] = [
  ['the lock file installs on every platform (npm run lock)', 'node scripts/lock.ts --check'],
  ['format and lint (npm run format)', 'biome check --error-on-warnings .'],
  [
    'format of SQL (npm run format)',
    'prettier --check --log-level warn "sql/**/*.sql" "scripts/**/*.sql" supabase/seed.sql',
  ],
  ['types', 'tsc'],
  [
    'types of the edge functions',
    'deno check --quiet --no-lock --node-modules-dir=manual --config=functions/deno.json functions/*/index.ts scripts/stack/end-with-parent.ts',
  ],
  ['nothing unused (knip)', 'knip'],
  [
    'migrations equal sql/, generated types are fresh, advisors are content',
    'node scripts/schema.ts',
  ],
  ['tests', 'npm test'],
  ['the link host behind nginx (on Debian: apt-get install nginx)', 'npm run test:nginx'],
]

for (const [name, command] of steps) {
  process.stdout.write(`\n— ${name}\n`)
  const began = performance.now()
  const { status } = spawnSync(command, {
    cwd: root,
    shell: true,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, DENO_NO_UPDATE_CHECK: '1', NO_COLOR: '1' },
  })
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  if (status !== 0) {
    process.stderr.write(`\ncheck failed at: ${name}\n`)
    process.exit(1)
  }
  process.stdout.write(`  passed in ${seconds} s\n`)
}
process.stdout.write('\ncheck passed\n')
