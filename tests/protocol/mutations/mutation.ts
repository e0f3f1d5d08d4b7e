/** A step of the protocol changed on purpose, and what goes wrong then: the reason why the step is as it is. */
import type { Scenario } from '../model.ts'
import { type Process, protocol, type Step, type World } from '../protocol.ts'

export type Mutation = {
  /** The rule of the protocol that it breaks. */
  rule: string
  change: string
  /** The broken promise that the explorer finds. */
  breaks: RegExp
  /** What takes the place of the steps of these names, or is new. */
  steps: Record<string, Step>
  /** Where two deliveries of A, one of B and a redemption, without a failure, do not show it. */
  scenario?: Scenario
}

/** Takes a step as the protocol has it. */
export const take = (name: string, world: World, me: Process) =>
  protocol[name]?.(world, me) ?? `no step ${name}`

/** A step that goes on differently. */
export const detour = (name: string, from: string, to: string): Record<string, Step> => ({
  [name]: (world, me) => {
    const next = take(name, world, me)
    return next === from ? to : next
  },
})

export const only = (events: string, which: (event: string) => boolean) =>
  [...events].filter(which).join('')
