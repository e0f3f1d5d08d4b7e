import type { DataApi } from '../_shared/data-api.ts'
import type { Campaign } from './campaign.ts'
import type { Platform } from './device.ts'
import { createLimiter } from './limiter.ts'
import type { Visitor } from './visitor.ts'

type Settings = {
  /** Calls with the secret key, which recording needs. */
  operator: DataApi
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

/** The most recordings at once, and the time-out of one in milliseconds. */
const maxInFlight = 50
const timeout = 5_000

/** Clicks per minute, from one network (a school, a conference, a mobile carrier’s gateway) and for one instance. */
const limits = { perNetwork: 120, perInstance: 6_000 }

export type ClickRecorder = {
  /** Whether one more click of this visitor is within the limits. */
  hasRoom: (visitor: Visitor) => boolean
  /** Starts the recording, and returns the click’s id. */
  record: (click: Click) => string
}

/** Records clicks after the response was sent. */
export function createClickRecorder({ operator, waitUntil, now }: Settings): ClickRecorder {
  const mayRecord = createLimiter({ ...limits, now })
  let inFlight = 0
  let hasTimers = false

  async function record(id: string, click: Click): Promise<void> {
    // Wait one turn of the event loop, so that the response is sent first. The first click of an instance does not wait,
    // because its visitor would wait for Deno to load its timers.
    if (hasTimers) await new Promise((resolve) => setTimeout(resolve))
    const { address } = click.visitor
    const { channel, utm } = click.campaign
    const stored = {
      code: click.code,
      click_id: id,
      user_agent: click.userAgent.slice(0, 512),
      platform: click.platform,
      utm,
      ...(address && { address }),
      ...(channel && { channel }),
    }
    const { error } = await operator('record_click', stored, timeout)
    if (error) console.error(`record_click failed: ${error.code || 'no response'}`)
    if (!hasTimers)
      setTimeout(() => {
        hasTimers = true
      })
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
