/** One promise that is taken out of the schema. */
export type Mutation = {
  name: string
  /** The SQL that takes it away. */
  sql: string
  /** Test files, or folders of them, that run first. */
  tests?: string[]
}

/**
 * A promise in the text of a function: the text, the first time it is there or `all` the times, and its replacement.
 * `tests` are files or folders that run first.
 */
export type TextMutation = {
  name: string
  in: string
  replace: string
  by: string
  all?: true
  tests?: string[]
}
