import type { Visitor } from './visitor.ts'

/** A request for the link of a code, or for a resource of the code. */
export type CodeRequest = {
  request: Request
  /** The name under which the function is deployed. */
  slug: string
  /** The text in the place of the code. Null if it cannot be a code. */
  text: string | null
  query: string
  visitor: Visitor
}
