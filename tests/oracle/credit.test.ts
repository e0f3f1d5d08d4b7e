/** The oracle by itself: which evidence counts, what is passed over, what staff ended, whose sale it is. */
import { expect, test } from 'vitest'
import { bindings } from '../fixtures/told/bindings.ts'
import { decided } from '../fixtures/told/decided.ts'
import { organisations } from '../fixtures/told/organisations.ts'
import { passedOver } from '../fixtures/told/passed-over.ts'
import { times } from '../fixtures/told/times.ts'
import { windows } from '../fixtures/told/windows.ts'
import { endingOf, reasonsOf } from '../support/telling.ts'

/** Where nobody has anything, the reason why each sale credits nobody. */
test.for([...times, ...bindings, ...passedOver, ...windows, ...decided, ...organisations])(
  '%s',
  async ([, expected, telling]) => {
    const ends = await endingOf(telling)
    const reasons = await reasonsOf(telling)
    expect(Object.keys(ends).length ? ends : reasons).toEqual(expected)
  },
)
