import type { ReferralDatabase } from '../_shared/database.ts'
import type { Campaign } from './campaign.ts'
import type { Platform } from './device.ts'
import { createLimiter } from './limiter.ts'
import type { Visitor } from './visitor.ts'

type Settings = {
  /** Acts with the secret key: nobody else may record clicks. */
  operator: ReferralDatabase
  /** Keeps the instance alive until the promise is settled. */
  waitUntil: (promise: Promise<void>) => void
  /** The clock, in milliseconds. */
  now: () => number
}

type Click = {
  code: string
  userAgent: string
  platform: Platform
  visitor: Visitor
  campaign: Campaign
}

/** How many recordings are under way at most, and how long one may take, in milliseconds. */
const maxInFlight = 50
const patience = 5_000

/** A minute’s clicks from one network (a school, a conference, a mobile carrier’s gateway) and of one instance. */
const limits = { perNetwork: 120, perInstance: 6_000 }

export type Recorder = {
  /** Is there room for one more click of this visitor’s? */
  hasRoom: (visitor: Visitor) => boolean
  /** Gives the id under which the click is being recorded. */
  record: (click: Click) => string
}

/** Records clicks after the visitor was answered. */
export function createRecorder({ operator, waitUntil, now }: Settings): Recorder {
  const mayRecord = createLimiter({ ...limits, now })
  let inFlight = 0

  async function record(id: string, click: Click): Promise<void> {
    // A turn of the event loop later, when the answer is on its way.
    await new Promise((resolve) => setTimeout(resolve))
    const { address } = click.visitor
    const { channel, utm } = click.campaign
    const { error } = await operator
      .rpc('record_click', {
        code: click.code,
        click_id: id,
        user_agent: click.userAgent.slice(0, 512),
        platform: click.platform,
        utm,
        ...(address && { address }),
        ...(channel && { channel }),
      })
      .abortSignal(AbortSignal.timeout(patience))
    if (error) console.error(`record_click failed: ${error.code || 'no answer'}`)
  }

  return {
    hasRoom: ({ network }) => inFlight < maxInFlight && mayRecord(network),
    record: (click) => {
      const id = crypto.randomUUID()
      inFlight += 1
      const done = () => {
        inFlight -= 1
      }
      waitUntil(record(id, click).then(done, done))
      return id
    },
  }
}
