/** The forms of the values that are read of Stripe's events. */
import { either, integer, maybe, object, optional, orElse, orNull, text, turned } from './shape.ts'

export const amount = integer()
/** Seconds since 1970, up to the year 9999. */
export const timestamp = integer(0, 253_402_300_799)
export const currency = text(/^[a-z]{3}$/)
export const id = text(/^[a-zA-Z0-9_]{1,255}$/)

/** A customer's id. An app can choose it itself. */
export const customerId = text(/^[A-Za-z0-9_.:-]{1,255}$/)

const uuid = text(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i)
export const code = text(/^[0-9A-Za-z](-?[0-9A-Za-z]){2,31}$/)

/** The app's own text. It is kept only if it has the form of a user id or a code. */
export const clientReference = orElse(orNull(either(uuid, code)), null)

/** An invalid restriction becomes the nil UUID, which no organisation has. */
const restriction = orElse(optional(uuid), '00000000-0000-0000-0000-000000000000')

/** Our keys in an object's metadata. A value of another form is dropped. */
export const metadata = turned(
  maybe(
    object({
      referral_redemption_id: orElse(uuid, undefined),
      referral_user_id: orElse(uuid, undefined),
      referral_org_id: restriction,
      referral_code: orElse(code, undefined),
    }),
  ),
  (kept) => kept ?? ({} as NonNullable<typeof kept>),
)
