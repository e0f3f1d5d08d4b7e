/**
 * What a value of JSON must look like, and what is kept of it. A shape returns what it keeps, or adds the path of each fault
 * to the list. `read` runs one; what a shape returns beside faults is not used.
 */
export type Shape<Kept> = (value: unknown, path: string, faults: string[]) => Kept

export type Kept<Given> = Given extends Shape<infer Value> ? Value : never

/** What is kept of a value, or the paths of what is not as it must be, such as `refunds.0.type`. */
export function read<Value>(
  shape: Shape<Value>,
  value: unknown,
): { data: Value; faults?: never } | { data?: never; faults: string[] } {
  const faults: string[] = []
  const data = shape(value, '', faults)
  return faults.length > 0 ? { faults } : { data }
}

/** Adds the fault of a value. */
export function refuse(path: string, faults: string[]): never {
  return faults.push(path) as never
}

/** A value for which the test holds. */
const only =
  <Value>(holds: (value: unknown) => boolean): Shape<Value> =>
  (value, path, faults) =>
    holds(value) ? (value as Value) : refuse(path, faults)

/** A text of this form. */
export const text = (form: RegExp) =>
  only<string>((value) => typeof value === 'string' && form.test(value))

/** A whole number that JSON has exactly. */
export const integer = (least = Number.MIN_SAFE_INTEGER, greatest = Number.MAX_SAFE_INTEGER) =>
  only<number>(
    (value) => Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= greatest,
  )

export const flag = only<boolean>((value) => typeof value === 'boolean')

export const oneOf = <const Words extends readonly string[]>(...words: Words) =>
  only<Words[number]>((value) => words.includes(value as string))

/** Null, which can be absent too. */
export const nothing: Shape<null> = (value, path, faults) =>
  value === null || value === undefined ? null : refuse(path, faults)

/** Any object, whole. A list is none. */
export const anyObject = only<object>(isObject)

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

type Fields = Record<string, Shape<unknown>>

/** An object. Other fields are dropped, and so is a field that is absent and may be. */
export const object =
  <Given extends Fields>(fields: Given): Shape<{ [Name in keyof Given]: Kept<Given[Name]> }> =>
  (value, path, faults) => {
    if (!isObject(value)) return refuse(path, faults)
    const kept: Record<string, unknown> = {}
    for (const [name, shape] of Object.entries(fields)) {
      const field = shape(value[name], path ? `${path}.${name}` : name, faults)
      if (field !== undefined) kept[name] = field
    }
    return kept as { [Name in keyof Given]: Kept<Given[Name]> }
  }

export const list =
  <Item>(shape: Shape<Item>): Shape<Item[]> =>
  (value, path, faults) =>
    Array.isArray(value)
      ? value.map((item, n) => shape(item, `${path}.${n}`, faults))
      : refuse(path, faults)

/** Also null. */
export const orNull =
  <Value>(shape: Shape<Value>): Shape<Value | null> =>
  (value, path, faults) =>
    value === null ? null : shape(value, path, faults)

/** Also absent. */
export const optional =
  <Value>(shape: Shape<Value>): Shape<Value | undefined> =>
  (value, path, faults) =>
    value === undefined ? undefined : shape(value, path, faults)

/** Also null, and also absent. */
export const maybe = <Value>(shape: Shape<Value>) => optional(orNull(shape))

/** What is made of what the shape keeps. */
export const turned =
  <From, To>(shape: Shape<From>, turn: (kept: From) => To): Shape<To> =>
  (value, path, faults) => {
    const before = faults.length
    const kept = shape(value, path, faults)
    return faults.length === before ? turn(kept) : (undefined as never)
  }

/** Further faults of what the shape keeps, by the names of its fields. */
export const checked =
  <Value>(shape: Shape<Value>, faultsOf: (kept: Value) => string[]): Shape<Value> =>
  (value, path, faults) => {
    const before = faults.length
    const kept = shape(value, path, faults)
    if (faults.length === before)
      for (const name of faultsOf(kept)) faults.push(path ? `${path}.${name}` : name)
    return kept
  }

/** The first of two shapes that has no fault. */
export const either =
  <One, Other>(one: Shape<One>, other: Shape<Other>): Shape<One | Other> =>
  (value, path, faults) => {
    for (const shape of [one, other]) {
      const { data, faults: wrong } = read<One | Other>(shape, value)
      if (!wrong) return data
    }
    return refuse(path, faults)
  }

/** Something else in place of a value with a fault. */
export const orElse =
  <Value, Other>(shape: Shape<Value>, other: Other): Shape<Value | Other> =>
  (value) => {
    const { data, faults } = read(shape, value)
    return faults ? other : (data as Value)
  }
