/** One promise that is taken out of the schema. */
export type Mutation = {
  name: string
  /** The SQL that takes it away. */
  sql: string
  /** Test files, or folders of them, that run first. */
  tests?: string[]
}
