/** What an adopter does after the files are written. */
import { pack } from '../pack.ts'
import { upgradeNotes } from './changelog.ts'
import type { Installed } from './installed.ts'

/** The steps after a first installation, or after an upgrade, with what the changelog asks for. */
export function nextSteps(before: Installed, replacesPreview: boolean): string {
  const functions = pack.functions().map(({ name }) => name)
  const steps = [
    'Apply the migrations: `supabase migration up` locally, `supabase db push --remote` to the linked project.',
    ...(before.version === undefined ? [secrets] : []),
    `Deploy the functions: \`supabase functions deploy ${functions.join(' ')} --use-api\`.`,
    ...(before.version === undefined ? [expose, setup] : []),
  ]
  const notes = notesSince(before, replacesPreview)
  const numbered = steps.map((step, i) => `${i + 1}. ${step}\n`).join('')
  return [
    notes && `\nChanges since ${before.version}:\n\n${notes}`,
    replacesPreview && `\n${replaced}\n`,
    `\nNext:\n${numbered}`,
  ]
    .filter(Boolean)
    .join('')
}

function notesSince(before: Installed, replacesPreview: boolean): string {
  if (before.version === undefined) return ''
  return upgradeNotes(pack.changelog(), {
    from: before.version,
    to: pack.version,
    preview: replacesPreview,
  })
}

const secrets =
  'Set the secrets: `supabase secrets set LINK_FALLBACK_URL=https://… STRIPE_LIVEMODE=true STRIPE_WEBHOOK_SECRET=whsec_…`.'
const expose =
  'Expose the schema: dashboard, project settings, Data API, "Exposed schemas", add `referral`. config.toml exposes it locally only.'
const setup = 'Make your organisation and its program: `referbase setup --help`.'
const replaced =
  'The new migrations drop the preview of referbase that is installed and make it anew. They refuse a database that has organisations.'
