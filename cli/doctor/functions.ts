import { z } from 'zod'
import { commandText } from '../command-text.ts'
import { checkFallback } from './check-fallback.ts'
import { type Examined, isLocal } from './examined.ts'
import { type Line, ok, unchecked, wrong } from './line.ts'
import { type Outcome, request } from './request.ts'
import { compareVersion } from './version.ts'

const about = z.object({
  function: z.string(),
  version: z.string(),
  livemode: z.boolean().optional(),
})
type About = z.infer<typeof about>

/** The variables that each function needs, beside those of the platform. */
const variables = {
  'referbase-link': 'LINK_FALLBACK_URL=https://…',
  'referbase-stripe-webhook': 'STRIPE_WEBHOOK_SECRET=whsec_… STRIPE_LIVEMODE=true',
}
type FunctionName = keyof typeof variables

/** Are the edge functions deployed, with this version and what they need? */
export async function checkFunctions(
  examined: Examined,
): Promise<{ lines: Line[]; livemode: boolean | undefined }> {
  const link = await examine(examined, 'referbase-link')
  const webhook = examined.usesStripe
    ? await examine(examined, 'referbase-stripe-webhook')
    : undefined
  const lines = [
    ...link.lines,
    ...(link.about ? [await checkFallback(examined)] : []),
    ...(webhook?.lines ?? []),
    ...(webhook?.about ? [checkMode(webhook.about, examined)] : []),
  ]
  return { lines, livemode: webhook?.about?.livemode }
}

async function examine(
  { project }: Examined,
  name: FunctionName,
): Promise<{ lines: Line[]; about?: About }> {
  const outcome = await request(`${project.functionsUrl}/${name}/.well-known/referbase`)
  const said = about.safeParse(parsed(outcome.body)).data
  if (said?.function !== name || outcome.response?.status !== 200)
    return { lines: [notServed(outcome, name, isLocal(project.functionsUrl))] }
  const check = `${name}_version`
  return { lines: [compareVersion(check, name, said.version, deploying(name))], about: said }
}

const deploying = (name: string) => commandText.supabase(`functions deploy ${name} --use-api`)

/** Why a function does not say what it is: by the answers of the platform, and of older versions. */
function notServed({ response, body, failure }: Outcome, name: FunctionName, local: boolean): Line {
  const check = `${name}_version`
  if (!response) {
    const remedy = 'Is FUNCTIONS_URL right?'
    return wrong(check, `${name} does not respond: ${failure}.`, remedy)
  }
  const { status } = response
  if (status === 404)
    return wrong(
      check,
      `${name} is not deployed.`,
      local
        ? commandText.supabase('functions serve')
        : `${commandText.referbase('init')}, then ${deploying(name)}`,
    )
  if (status === 401)
    return wrong(
      check,
      `${name} is deployed so that it demands a token of a user.`,
      `Set verify_jwt = false in section [functions.${name}] of supabase/config.toml, then ${deploying(name)}`,
    )
  if (status === 503 || /BOOT_ERROR|WORKER_ERROR/.test(body)) {
    const setting = commandText.supabase(`secrets set ${variables[name]}`)
    return wrong(
      check,
      `${name} does not start: a secret is missing or is a placeholder. Its log names it.`,
      local ? `Set ${variables[name]} in supabase/functions/.env.` : setting,
    )
  }
  if (status < 400 || status === 405)
    return wrong(check, `${name} is older than this package.`, deploying(name))
  const remedy = 'Read its log: dashboard, edge functions.'
  return wrong(check, `${name} responds with status ${status}.`, remedy)
}

function checkMode({ livemode }: About, { live, project }: Examined): Line {
  const mode = livemode ? 'live' : 'test'
  const name = 'stripe_mode'
  if (live === undefined && livemode === false && !isLocal(project.functionsUrl))
    return unchecked(
      name,
      'The webhook takes payments of test mode.',
      'Add --live to be told if it should take live ones.',
    )
  if (live === undefined || live === livemode)
    return ok(name, `The webhook takes payments of ${mode} mode.`)
  return wrong(
    name,
    `The webhook takes payments of ${mode} mode, and not of ${live ? 'live' : 'test'} mode.`,
    `${commandText.supabase(`secrets set STRIPE_LIVEMODE=${live} STRIPE_WEBHOOK_SECRET=whsec_…`)} with the secret of the endpoint in ${live ? 'live' : 'test'} mode`,
  )
}

function parsed(body: string | undefined): unknown {
  try {
    return JSON.parse(body ?? '')
  } catch {
    return undefined
  }
}
