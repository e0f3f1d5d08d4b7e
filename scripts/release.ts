/**
 * `npm run release -- 0.2.0`: cuts a release. It sets the version, freezes the unreleased migrations and dates the changelog.
 * It commits nothing. A changed working tree, an earlier version, and migrations that do not lead to sql/ are refused.
 */
import { execFileSync } from 'node:child_process'
import { CliError, runMain } from '../cli/cli-error.ts'
import { cutRelease, requireLater } from './releases/cut.ts'
import { findDrift } from './schema.ts'
import { root } from './stack/root.ts'
import { startThrowawayPostgres } from './stack/throwaway.ts'

await runMain(async () => {
  const [version = '', ...more] = process.argv.slice(2)
  if (!version || more.length) throw new CliError('Usage: npm run release -- 0.2.0')
  await requireLater(version)
  const changed = execFileSync('git', ['status', '--porcelain'], { cwd: root, encoding: 'utf8' })
  if (changed) throw new CliError(`Commit these changes first, or undo them:\n${changed}`)
  const server = await startThrowawayPostgres()
  try {
    const drift = await findDrift(server)
    if (drift.length) throw new CliError(drift.join('\n'))
  } finally {
    await server.stop()
  }
  const names = await cutRelease(version)
  process.stdout.write(`Release ${version} has ${names.map((name) => `supabase/migrations/${name}`).join(' and ')}.
Now read CHANGELOG.md, and then:
  npm run check
  git add --all && git commit --message "release: ${version}"
  git tag v${version}
`)
})
