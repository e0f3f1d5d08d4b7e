import type { Values } from './arguments.ts'

/** The last row of a page, of which the database takes several columns, as a GET request sends it. */
export function rowAsText({ after, ...args }: Values): Values {
  return after ? { ...args, after: JSON.stringify(after) } : args
}
