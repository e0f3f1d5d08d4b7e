import { expect } from 'vitest'

/** The status of a new event: applied, or stored where another test has the Stripe account of the local stack just then. */
export const taken = expect.stringMatching(/^(applied|stored)$/)

/** The status of an event that came before: a duplicate, or stored as long as it waits for that other test. */
export const known = expect.stringMatching(/^(duplicate|stored)$/)
