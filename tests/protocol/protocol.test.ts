/**
 * The protocol of receiving and settling events, in every order of its steps and with a failure at every moment; and
 * changed on purpose, step by step. `FAILURES` says how many failures there are at most.
 */
import { expect, test } from 'vitest'
import { often, proved } from '../support/soak.ts'
import { explore } from './explorer.ts'
import { modelOf, type Scenario } from './model.ts'
import { locks } from './mutations/locks.ts'
import { parking } from './mutations/parking.ts'
import { receiving } from './mutations/receiving.ts'
import { settling } from './mutations/settling.ts'
import { protocol } from './protocol.ts'

const failures = often('FAILURES', 1)

const scenarios: Record<string, Scenario> = {
  'two deliveries of A and one of B, a redemption': { deliveries: 'AAB', redemptions: 1, failures },
  'one delivery of A and two of B, a redemption': { deliveries: 'ABB', redemptions: 1, failures },
  'an event that cannot be applied': { deliveries: 'ABX', redemptions: 0, failures },
  'two redemptions': { deliveries: 'AB', redemptions: 2, failures },
  'one event at a time': { deliveries: 'AAB', redemptions: 0, failures, bound: 1 },
}

const timeout = 600_000

test.for(Object.entries(scenarios))('every promise holds: %s', { timeout }, ([, scenario]) => {
  const { states, broken, way } = explore(modelOf(scenario, protocol))
  expect(broken, way.join('\n')).toBeUndefined()
  // Far fewer would mean that something never happens.
  expect(states).toBeGreaterThan(5_000)
  proved('states of the protocol, each promise kept in all', states)
})

const mutations = [...receiving, ...settling, ...parking, ...locks]

test.for(mutations.map((it) => [it.rule, it.change, it] as const))(
  '%s is broken if %s',
  ([, , { steps, breaks, scenario }]) => {
    const shown = scenario ?? { deliveries: 'AAB', redemptions: 1, failures: 0 }
    const { broken, way } = explore(modelOf(shown, { ...protocol, ...steps }))
    expect(broken ?? 'no promise is broken', way.join('\n')).toMatch(breaks)
  },
)
