import Stripe from 'stripe'
import { CliError } from '../cli-error.ts'

/**
 * Stripe's SDK with the key of STRIPE_SECRET_KEY, a restricted key too. STRIPE_API_BASE is the address of the API, for
 * tests and proxies: `http://127.0.0.1:12111`.
 */
export function connectStripe(
  environment: NodeJS.ProcessEnv = process.env,
  limits: Pick<Stripe.StripeConfig, 'timeout' | 'maxNetworkRetries'> = { maxNetworkRetries: 3 },
): Stripe {
  const { STRIPE_SECRET_KEY: key, STRIPE_API_BASE: base } = environment
  if (!key) throw new CliError('Set STRIPE_SECRET_KEY in the environment.')
  if (!/^(sk|rk)_[A-Za-z0-9_]{8,}$/.test(key))
    throw new CliError(
      'STRIPE_SECRET_KEY is not a secret key of Stripe. Set it to one that begins with sk_ or rk_.',
    )
  return new Stripe(key, { telemetry: false, ...limits, ...(base && at(base)) })
}

function at(base: string) {
  const url = URL.canParse(base) ? new URL(base) : null
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new CliError('STRIPE_API_BASE is not an address such as http://127.0.0.1:12111.')
  const protocol = url.protocol === 'https:' ? ('https' as const) : ('http' as const)
  return { protocol, host: url.hostname, port: url.port || (protocol === 'https' ? 443 : 80) }
}
