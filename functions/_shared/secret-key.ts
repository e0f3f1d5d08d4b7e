import type { Read } from './environment.ts'

/**
 * Whether a text is the publishable key of a project: `sb_publishable_…`, or, in the older form, a JWT of the role `anon`.
 */
export function isPublishableKey(key: string): boolean {
  if (key.startsWith('sb_publishable_')) return true
  if (!key.startsWith('eyJ')) return false
  try {
    const [, claims = ''] = key.split('.')
    return JSON.parse(atob(claims.replaceAll('-', '+').replaceAll('_', '/'))).role === 'anon'
  } catch {
    return false
  }
}

/** A secret key. The publishable key in its place is refused. */
export const secretKey: Read<string> = (key) => (key && !isPublishableKey(key) ? key : undefined)

export const secretKeyDescription = 'the secret key, sb_secret_…, not the publishable key'
