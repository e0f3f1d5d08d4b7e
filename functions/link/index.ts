import { connectDataApi } from '../_shared/data-api.ts'
import { firstOf, optional, readEnvironment, required } from '../_shared/environment.ts'
import { secretKey, secretKeyDescription } from '../_shared/secret-key.ts'
import { defaultKey, listOf, text, webAddress } from '../_shared/variables.ts'
import { waitUntil } from '../_shared/wait-until.ts'
import { createLinkHandler } from './handler.ts'

const environment = readEnvironment(
  {
    SUPABASE_URL: required(webAddress),
    SUPABASE_PUBLISHABLE_KEYS: optional(defaultKey(text)),
    SUPABASE_PUBLISHABLE_KEY: optional(text),
    SUPABASE_SECRET_KEYS: optional(defaultKey(secretKey), secretKeyDescription),
    SUPABASE_SECRET_KEY: optional(secretKey, secretKeyDescription),
    LINK_FALLBACK_URL: required((url) =>
      url.startsWith('https://') ? webAddress(url) : undefined,
    ),
    // One secret, or several separated by commas while one replaces another.
    LINK_PROXY_SECRET: optional(listOf((secret) => (secret.length >= 32 ? secret : undefined))),
  },
  (name) => Deno.env.get(name),
)
const publishableKey = firstOf(
  'SUPABASE_PUBLISHABLE_KEYS',
  environment.SUPABASE_PUBLISHABLE_KEYS,
  environment.SUPABASE_PUBLISHABLE_KEY,
)
const operatorKey = firstOf(
  'SUPABASE_SECRET_KEYS',
  environment.SUPABASE_SECRET_KEYS,
  environment.SUPABASE_SECRET_KEY,
)

Deno.serve(
  createLinkHandler({
    database: connectDataApi(environment.SUPABASE_URL, publishableKey),
    operator: connectDataApi(environment.SUPABASE_URL, operatorKey),
    fallbackUrl: environment.LINK_FALLBACK_URL,
    origin: `${new URL(environment.SUPABASE_URL).origin}/functions/v1`,
    proxySecrets: environment.LINK_PROXY_SECRET ?? [],
    waitUntil,
  }),
)
