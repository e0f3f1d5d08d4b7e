import type { Visitor } from './visitor.ts'

/** A request for what belongs to a code. */
export type Asked = {
  request: Request
  /** What stands in the place of the code; null where nothing can. */
  text: string | null
  query: string
  visitor: Visitor
}
