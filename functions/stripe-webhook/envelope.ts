import { timestamp } from './forms.ts'
import { flag, maybe, object, oneOf, orElse, text, turned } from './shape.ts'

/** A version with the name of its release, and the flags of the previews that are switched on. */
const version = text(/^(?=.{1,120}$)[0-9]{4}-[0-9]{2}-[0-9]{2}(\.[a-z]+)?(; ?[a-z0-9_]+=v[0-9]+)*$/)

export const eventId = text(/^evt_[A-Za-z0-9_]{1,255}$/)
export const eventType = text(/^[a-z0-9_.]{1,120}$/)

/** What every event of Stripe's API v1 has around its object. */
export const envelope = object({
  id: eventId,
  type: eventType,
  // Of another form, no version is known.
  api_version: orElse(version, null),
  created: timestamp,
  livemode: flag,
  account: turned(maybe(text(/^acct_[A-Za-z0-9]{1,64}$/)), (id) => id ?? undefined),
})

/** An event of Stripe's API v2. It has another envelope, and names its object instead of holding it. */
export const v2Event = object({ object: oneOf('v2.core.event') })
