/** What an adopter does after the files are written. */
import { pack } from '../pack.ts'
import { upgradeNotes } from './changelog.ts'
import type { Installed } from './installed.ts'
import type { NewMigrations } from './new-migrations.ts'

export type NextSteps = {
  /** What the changelog asks for, and what it means that a preview is replaced. */
  notes: string[]
  steps: string[]
}

/** The steps after a first installation, or after an upgrade. */
export function nextSteps(before: Installed, migrations: NewMigrations): NextSteps {
  const isNew = before.version === undefined
  const steps = [
    'Apply the migrations: `npx supabase migration up` locally, `npx supabase db push --remote` to the linked project.',
    ...(migrations.schedulesJobs ? [withoutCron] : []),
    ...(isNew ? [secret] : []),
    'Deploy the links: `npx supabase functions deploy referbase-link --use-api`.',
    ...(isNew ? [expose, stripe, setup] : [webhook]),
    'Examine it: `npx --no-install referbase doctor --env-file .env.hosted`.',
  ]
  const notes = notesSince(before, migrations.replacesPreview)
  return {
    notes: [
      ...(notes ? [`Changes since ${before.version}:\n\n${notes}`] : []),
      ...(migrations.replacesPreview ? [replaced(migrations)] : []),
    ],
    steps,
  }
}

export const stepsText = ({ notes, steps }: NextSteps): string =>
  [...notes, `Next:\n${steps.map((step, i) => `${i + 1}. ${step}\n`).join('')}`]
    .map((part) => `\n${part}`)
    .join('')

function notesSince(before: Installed, replacesPreview: boolean): string {
  if (before.version === undefined) return ''
  return upgradeNotes(pack.changelog(), {
    from: before.version,
    to: pack.version,
    preview: replacesPreview,
  })
}

const withoutCron =
  'Where a database has no pg_cron, as on a local stack, run `referral.run_maintenance()` every minute yourself.'
const secret = 'Set the secret: `npx supabase secrets set LINK_FALLBACK_URL=https://…`.'
const expose =
  'Expose the schema: dashboard, project settings, Data API, "Exposed schemas", add `referral`. config.toml exposes it locally only.'
const deployWebhook = '`npx supabase functions deploy referbase-stripe-webhook --use-api`'
const webhook = `If you take payments by Stripe: ${deployWebhook}.`
const stripe = `If you take payments by Stripe: \`npx --no-install referbase stripe endpoint --url https://YOUR-PROJECT.supabase.co/functions/v1/referbase-stripe-webhook\`, then \`npx supabase secrets set STRIPE_LIVEMODE=true STRIPE_WEBHOOK_SECRET=whsec_…\`, then ${deployWebhook}.`
const setup =
  'Write SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY and SUPABASE_SECRET_KEY to .env.hosted, and keep it out of git. Make your organisation and its program: `npx --no-install referbase setup --env-file .env.hosted`.'

const replaced = ({ changes }: NewMigrations) =>
  `The new migrations drop the preview of referbase that is installed and make it anew. The push refuses a database with data.
Then run \`npx --no-install referbase remove --export FOLDER --db-url URL --yes\`, and push again.
To keep the older preview, delete these files in place of that:
${changes.map(({ path }) => `- ${path}\n`).join('')}`
