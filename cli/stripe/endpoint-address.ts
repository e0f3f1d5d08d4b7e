import { CliError } from '../cli-error.ts'

/** The address to which Stripe delivers: the one given, or else that of the project. Stripe reaches no local address. */
export function endpointAddress(given: string | undefined, environment: NodeJS.ProcessEnv): string {
  const { FUNCTIONS_URL, SUPABASE_URL } = environment
  const functions =
    FUNCTIONS_URL ?? (SUPABASE_URL && `${SUPABASE_URL.replace(/\/+$/, '')}/functions/v1`)
  const url = given ?? (functions && `${functions.replace(/\/+$/, '')}/referbase-stripe-webhook`)
  if (!url) throw new CliError('Give --url, or set SUPABASE_URL in the environment.')
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (!parsed || (parsed.protocol !== 'https:' && parsed.protocol !== 'http:'))
    throw new CliError(
      `${url} is not an address such as https://PROJECT.supabase.co/functions/v1/….`,
    )
  if (
    /^(localhost|.*\.local|127\..*|0\.0\.0\.0|\[::1\]|10\..*|192\.168\..*)$/.test(parsed.hostname)
  )
    throw new CliError(
      `Stripe does not reach ${parsed.host}. Give --url of the hosted project; for the local one, run stripe listen.`,
    )
  if (parsed.protocol === 'http:') throw new CliError(`${url} must begin with https://.`)
  return url
}
