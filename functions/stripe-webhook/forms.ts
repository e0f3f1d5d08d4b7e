/** The forms of the values that are read of Stripe's events. */
import { z } from 'zod'

export const amount = z.int()
/** Seconds since 1970, up to the year 9999. */
export const timestamp = z.int().min(0).max(253_402_300_799)
export const currency = z.string().regex(/^[a-z]{3}$/)
export const id = z.string().regex(/^[a-zA-Z0-9_]{1,255}$/)

/** A customer's id. An app can choose it itself. */
export const customerId = z.string().regex(/^[A-Za-z0-9_.:-]{1,255}$/)

const uuid = z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i)
export const code = z.string().regex(/^[0-9A-Za-z](-?[0-9A-Za-z]){2,31}$/)

/** The app's own text. It is kept only if it has the form of a user id or a code. */
export const clientReference = z.union([uuid, code]).nullable().catch(null)

/** Our keys in an object's metadata. A value of another form is dropped. */
export const metadata = z
  .object({
    referral_redemption_id: uuid.optional().catch(undefined),
    referral_user_id: uuid.optional().catch(undefined),
    // An invalid restriction becomes the nil UUID, which no organisation has.
    referral_org_id: uuid.optional().catch('00000000-0000-0000-0000-000000000000'),
    referral_code: code.optional().catch(undefined),
  })
  .nullish()
  .transform((value) => value ?? {})
