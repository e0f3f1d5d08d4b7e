import type { Read } from '../_shared/environment.ts'
import { listOf } from '../_shared/variables.ts'

/** One signing secret of Stripe's, or several with commas between them while one replaces the other. */
export const signingSecrets: Read<string[]> = listOf((secret) =>
  isSigningSecret(secret) ? secret : undefined,
)

export const signingSecretsDescription =
  'copy the signing secret of your endpoint from Stripe: whsec_ and at least 24 letters and digits, no placeholder'

/** Placeholders are short, or repeat a few characters, or have characters that no secret of Stripe's has. */
function isSigningSecret(secret: string): boolean {
  const [, drawn = ''] = /^whsec_([A-Za-z0-9+/]{24,}=*)$/.exec(secret) ?? []
  return new Set(drawn).size >= 8
}
