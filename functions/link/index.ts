import { z } from 'zod'
import { connect } from '../_shared/database.ts'
import { apiKeys, firstOf, readEnvironment } from '../_shared/environment.ts'
import { createLinkHandler } from './handler.ts'

const environment = readEnvironment(
  {
    SUPABASE_URL: z.url(),
    SUPABASE_PUBLISHABLE_KEYS: apiKeys.optional(),
    SUPABASE_PUBLISHABLE_KEY: z.string().min(1).optional(),
    LINK_FALLBACK_URL: z.url({ protocol: /^https$/ }),
  },
  (name) => Deno.env.get(name),
)
const key = firstOf(
  'SUPABASE_PUBLISHABLE_KEYS',
  environment.SUPABASE_PUBLISHABLE_KEYS,
  environment.SUPABASE_PUBLISHABLE_KEY,
)

Deno.serve(
  createLinkHandler({
    database: connect(environment.SUPABASE_URL, key),
    fallback: environment.LINK_FALLBACK_URL,
  }),
)
