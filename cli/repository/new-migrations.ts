/** The migrations that a repository lacks. */
import { CliError } from '../cli-error.ts'
import { pack } from '../pack.ts'
import type { Change } from './changes.ts'
import { hashOf, withHeader } from './header.ts'
import type { Installed } from './installed.ts'
import { removalMigration, removalStatements } from './removal.ts'
import { compareReleases, nextMigrationVersion } from './versions.ts'

export type NewMigrations = {
  changes: Change[]
  /** The preview that is installed is dropped, with its schemas, and made anew. */
  replacesPreview: boolean
  /** The migration for pg_cron is among them. */
  schedulesJobs: boolean
}

/** Each packed migration once. Their versions follow those that the repository and the database have. */
export function newMigrations(
  installed: Installed,
  { cron, versions, now }: { cron: boolean; versions: string[]; now: Date },
): NewMigrations {
  const packed = packedMigrations()
  const isPacked = (hash: string) => packed.some((migration) => migration.hash === hash)
  const unknown = installed.migrations.filter(({ hash }) => !isPacked(hash))
  const olderPack = unknown.find(
    ({ preview, version }) => !preview || (version === pack.version && !packed.at(-1)?.preview),
  )
  if (olderPack) {
    throw new CliError(
      `The migration ${olderPack.name} of referbase ${olderPack.version} is installed, and this package does not have it. Use a newer package.`,
    )
  }
  const replacesPreview = unknown.length > 0
  const has = (hash: string) =>
    !replacesPreview && installed.migrations.some((migration) => migration.hash === hash)

  const missing = packed.filter(({ hash }) => !has(hash))
  const schedulesJobs = cron && !installed.cron
  const texts = [
    ...missing.map((migration, i) =>
      replacesPreview && i === 0 ? { ...migration, text: replacing(migration.text) } : migration,
    ),
    ...(schedulesJobs ? [{ name: 'referbase_cron', text: cronMigration() }] : []),
  ]
  const taken = [...versions]
  const changes = texts.map(({ name, text }) => {
    const version = nextMigrationVersion(taken, now)
    taken.push(version)
    return { path: `supabase/migrations/${version}_${name}.sql`, before: undefined, after: text }
  })
  return { changes, replacesPreview, schedulesJobs }
}

/** With the release that brought each, and as it is written into a repository. */
function packedMigrations() {
  const releases = pack.releases()
  return pack.migrations().map(({ name, text }) => {
    const release = releases.find(({ migrations }) => name in migrations)
    const preview = release === undefined
    return {
      name: name.replace(/^\d+_/, '').replace(/\.sql$/, ''),
      hash: hashOf(text),
      preview,
      text: withHeader('--', { version: release?.version ?? pack.version, preview, name }, text),
    }
  })
}

/** In one transaction, so that the Data API never finds the schema missing. */
const replacing = (next: string) =>
  removalMigration(pack.version, 'replaced', removalStatements('replaced'), next)

/** Where there is no pg_cron, such as on a local stack, it applies all the same. */
const cronMigration = () =>
  withHeader(
    '--',
    { version: pack.version, name: 'cron' },
    `-- Runs the jobs of referbase every minute.
do $$
begin
  if exists (select from pg_available_extensions where name = 'pg_cron') then
    create extension if not exists pg_cron;
  end if;
  if to_regclass('cron.job') is null then
    raise notice 'referbase: there is no pg_cron here. Run referral.run_maintenance() every minute yourself.';
  else
    perform cron.schedule('referral maintenance', '* * * * *', 'select * from referral.run_maintenance()');
  end if;
end
$$;
`,
  )

/** Refuses a package that is older than what is installed. */
export function requireNoOlderPackage(installed: Installed): void {
  if (installed.version === undefined) return
  if (compareReleases(pack.version, installed.version) >= 0) return
  throw new CliError(
    `referbase ${installed.version} is installed, and this package is ${pack.version}. Use a newer package.`,
  )
}
