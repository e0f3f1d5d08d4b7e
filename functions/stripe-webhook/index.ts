import { z } from 'zod'
import { connect } from '../_shared/database.ts'
import { apiKeys, firstOf, readEnvironment } from '../_shared/environment.ts'
import { secretKey, secretKeyDescription } from '../_shared/secret-key.ts'
import { waitUntil } from '../_shared/wait-until.ts'
import { createWebhookHandler } from './handler.ts'
import { signingSecrets } from './signing-secrets.ts'

const environment = readEnvironment(
  {
    SUPABASE_URL: z.url(),
    SUPABASE_SECRET_KEYS: apiKeys.pipe(secretKey).optional().describe(secretKeyDescription),
    SUPABASE_SECRET_KEY: secretKey.optional().describe(secretKeyDescription),
    STRIPE_WEBHOOK_SECRET: signingSecrets,
    STRIPE_LIVEMODE: z.stringbool({ truthy: ['true'], falsy: ['false'] }),
  },
  (name) => Deno.env.get(name),
)
const key = firstOf(
  'SUPABASE_SECRET_KEYS',
  environment.SUPABASE_SECRET_KEYS,
  environment.SUPABASE_SECRET_KEY,
)

Deno.serve(
  createWebhookHandler({
    database: connect(environment.SUPABASE_URL, key),
    secrets: environment.STRIPE_WEBHOOK_SECRET,
    livemode: environment.STRIPE_LIVEMODE,
    waitUntil,
  }),
)
