import { z } from 'zod'

/** One signing secret of Stripe's, or several with commas between them while one replaces the other. */
export const signingSecrets = z
  .string()
  .transform((list) => list.split(',').map((secret) => secret.trim()))
  .pipe(z.array(z.string().refine(isSigningSecret)))
  .describe(
    'copy the signing secret of your endpoint from Stripe: whsec_ and at least 24 letters and digits, no placeholder',
  )

/** Placeholders are short, or repeat a few characters, or have characters that no secret of Stripe's has. */
function isSigningSecret(secret: string): boolean {
  const [, drawn = ''] = /^whsec_([A-Za-z0-9+/]{24,}=*)$/.exec(secret) ?? []
  return new Set(drawn).size >= 8
}
