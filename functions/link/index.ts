import { z } from 'zod'
import { connect } from '../_shared/database.ts'
import { apiKeys, firstOf, readEnvironment } from '../_shared/environment.ts'
import { secretKey, secretKeyDescription } from '../_shared/secret-key.ts'
import { waitUntil } from '../_shared/wait-until.ts'
import { createLinkHandler } from './handler.ts'

const environment = readEnvironment(
  {
    SUPABASE_URL: z.url(),
    SUPABASE_PUBLISHABLE_KEYS: apiKeys.optional(),
    SUPABASE_PUBLISHABLE_KEY: z.string().min(1).optional(),
    SUPABASE_SECRET_KEYS: apiKeys.pipe(secretKey).optional().describe(secretKeyDescription),
    SUPABASE_SECRET_KEY: secretKey.optional().describe(secretKeyDescription),
    LINK_FALLBACK_URL: z.url({ protocol: /^https$/ }),
    // One secret, or several separated by commas while one replaces another.
    LINK_PROXY_SECRET: z
      .string()
      .transform((list) => list.split(',').map((secret) => secret.trim()))
      .pipe(z.array(z.string().min(32)).min(1))
      .optional(),
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
    database: connect(environment.SUPABASE_URL, publishableKey),
    operator: connect(environment.SUPABASE_URL, operatorKey),
    fallbackUrl: environment.LINK_FALLBACK_URL,
    origin: `${new URL(environment.SUPABASE_URL).origin}/functions/v1`,
    proxySecrets: environment.LINK_PROXY_SECRET ?? [],
    waitUntil,
  }),
)
