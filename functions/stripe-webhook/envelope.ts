import { z } from 'zod'
import { timestamp } from './forms.ts'

/** A version with the name of its release, and the flags of the previews that are switched on. */
const version = z
  .string()
  .max(120)
  .regex(/^[0-9]{4}-[0-9]{2}-[0-9]{2}(\.[a-z]+)?(; ?[a-z0-9_]+=v[0-9]+)*$/)

/** What every event of Stripe's API v1 has around its object. */
export const envelope = z.object({
  id: z.string().regex(/^evt_[A-Za-z0-9_]{1,255}$/),
  type: z.string().regex(/^[a-z0-9_.]{1,120}$/),
  // Of another form, no version is known.
  api_version: version
    .nullish()
    .transform((text) => text ?? null)
    .catch(null),
  created: timestamp,
  livemode: z.boolean(),
  account: z
    .string()
    .regex(/^acct_[A-Za-z0-9]{1,64}$/)
    .nullish()
    .transform((id) => id ?? undefined),
})

/** An event of Stripe's API v2. It has another envelope, and names its object instead of holding it. */
export const v2Event = z.object({ object: z.literal('v2.core.event') })
