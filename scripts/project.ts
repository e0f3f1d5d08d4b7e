import { z } from 'zod'
import { CliError } from '../cli/cli-error.ts'
import { isPublishableKey } from '../functions/_shared/secret-key.ts'

const environment = z.object({ SUPABASE_URL: z.url(), SUPABASE_SECRET_KEY: z.string().min(1) })

/** The project that a command works on, and its secret key, from SUPABASE_URL and SUPABASE_SECRET_KEY. */
export function readProject(): { url: string; key: string } {
  const set = environment.safeParse(process.env)
  if (!set.success)
    throw new CliError('Set SUPABASE_URL and SUPABASE_SECRET_KEY in the environment.')
  const { SUPABASE_URL: url, SUPABASE_SECRET_KEY: key } = set.data
  if (isPublishableKey(key))
    throw new CliError(
      'SUPABASE_SECRET_KEY is the publishable key. Set it to the secret key, which begins with sb_secret_.',
    )
  return { url, key }
}
