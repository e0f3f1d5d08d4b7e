import type { Database } from './database.types.ts'

type Types = Database['referral']['CompositeTypes']

/** A composite type of the database. Its columns can be null by its declaration; those that never are lose it here. */
export type Composite<Name extends keyof Types> = {
  [Field in keyof Types[Name]]: NonNullable<Types[Name][Field]>
}

/** A row of which these columns can be null. */
export type Nullable<Row, Field extends keyof Row> = Omit<Row, Field> & {
  [F in Field]: Row[F] | null
}
