/** A variable of the environment: how its text is read, and whether it can be absent. */
type Variable<Value> = {
  read: Read<Value>
  isOptional: boolean
  description: string | undefined
}

/** Reads a text. Returns undefined if it is malformed. */
export type Read<Value> = (text: string) => Value | undefined

/** A variable that must be set. The description says what it must be. */
export const required = <Value>(read: Read<Value>, description?: string): Variable<Value> => ({
  read,
  isOptional: false,
  description,
})

/** A variable that can be absent. The description says what it must be. */
export const optional = <Value>(
  read: Read<Value>,
  description?: string,
): Variable<Value | undefined> => ({ read, isOptional: true, description })

/**
 * Reads the environment once, at start. If a variable is missing or malformed, it throws an error with the variable's name
 * and its description, not with its value, and the function does not start.
 */
export function readEnvironment<Values extends Record<string, unknown>>(
  variables: { [Name in keyof Values]: Variable<Values[Name]> },
  get: (name: string) => string | undefined,
): Values {
  const names = Object.keys(variables) as (keyof Values & string)[]
  const values = names.map((name) => {
    const text = get(name)
    return [name, text === undefined ? undefined : variables[name].read(text)] as const
  })
  const wrong = values.filter(
    ([name, value]) =>
      value === undefined && !(variables[name].isOptional && get(name) === undefined),
  )
  const described = wrong.map(([name]) => {
    const { description } = variables[name]
    return description ? `${name} (${description})` : name
  })
  if (described.length > 0) throw missing(described.join(', '))
  return Object.fromEntries(values) as Values
}

/** The first value that is set. Throws an error with the variable's name if there is none. */
export function firstOf(name: string, ...values: (string | undefined)[]): string {
  const value = values.find((candidate) => candidate !== undefined)
  if (value === undefined) throw missing(name)
  return value
}

function missing(names: string): Error {
  return new Error(`missing or malformed in the environment: ${names}`)
}
