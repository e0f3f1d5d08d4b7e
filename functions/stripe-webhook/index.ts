import { connectDataApi } from '../_shared/data-api.ts'
import { firstOf, optional, readEnvironment, required } from '../_shared/environment.ts'
import { secretKey, secretKeyDescription } from '../_shared/secret-key.ts'
import { defaultKey, truth, webAddress } from '../_shared/variables.ts'
import { waitUntil } from '../_shared/wait-until.ts'
import { createWebhookHandler } from './handler.ts'
import { signingSecrets, signingSecretsDescription } from './signing-secrets.ts'

const environment = readEnvironment(
  {
    SUPABASE_URL: required(webAddress),
    SUPABASE_SECRET_KEYS: optional(defaultKey(secretKey), secretKeyDescription),
    SUPABASE_SECRET_KEY: optional(secretKey, secretKeyDescription),
    STRIPE_WEBHOOK_SECRET: required(signingSecrets, signingSecretsDescription),
    STRIPE_LIVEMODE: required(truth, 'true or false'),
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
    database: connectDataApi(environment.SUPABASE_URL, key),
    secrets: environment.STRIPE_WEBHOOK_SECRET,
    livemode: environment.STRIPE_LIVEMODE,
    waitUntil,
  }),
)
