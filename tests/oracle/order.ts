/** Orders of rows: by the first of their parts that differs. */
type Row = readonly (bigint | number | string)[]

function compare(one: Row, other: Row): number {
  const at = one.findIndex((part, n) => part !== other[n])
  if (at < 0) return 0
  return (one[at] as Row[0]) < (other[at] as Row[0]) ? -1 : 1
}

export const sorted = <Value>(values: Value[], row: (value: Value) => Row): Value[] =>
  values.toSorted((one, other) => compare(row(one), row(other)))

/** The greatest of some values; undefined of none. */
export const greatest = <Value>(values: Value[], row: (value: Value) => Row): Value | undefined =>
  sorted(values, row).at(-1)
