import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import type { Keys } from './keys.ts'

type Settings = {
  folder: string
  url: string
  databaseUrl: string
  keys: Keys
  webhookSecret?: string | undefined
}

/**
 * What functions find in their environment: the platform's variables, those of `supabase/functions/.env`, and for the functions
 * of this package a default for each variable that a stack needs.
 */
export function functionVariables({ folder, url, databaseUrl, keys, webhookSecret }: Settings) {
  const signing = { kty: 'oct', alg: 'HS256', k: Buffer.from(keys.jwtSecret).toString('base64url') }
  const variables = {
    LINK_FALLBACK_URL: 'https://example.com/',
    LINK_PROXY_SECRET: keys.proxySecret,
    STRIPE_WEBHOOK_SECRET: keys.webhookSecret,
    STRIPE_LIVEMODE: 'false',
    ...ownVariables(join(folder, 'supabase/functions/.env')),
    SUPABASE_URL: url,
    SUPABASE_DB_URL: databaseUrl,
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishable }),
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secret }),
    SUPABASE_ANON_KEY: keys.publishable,
    SUPABASE_SERVICE_ROLE_KEY: keys.secret,
    SUPABASE_JWKS: JSON.stringify({ keys: [signing] }),
  }
  return webhookSecret ? { ...variables, STRIPE_WEBHOOK_SECRET: webhookSecret } : variables
}

/** The platform refuses names that begin with SUPABASE_. */
function ownVariables(file: string): Record<string, string> {
  if (!existsSync(file)) return {}
  const entries = Object.entries(parseEnv(readFileSync(file, 'utf8')))
  return Object.fromEntries(
    entries.flatMap(([name, value]) =>
      value === undefined || name.startsWith('SUPABASE_') ? [] : [[name, value]],
    ),
  )
}
