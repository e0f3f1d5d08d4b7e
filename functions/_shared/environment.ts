import { z } from 'zod'

/**
 * Reads the environment once, at start. If a variable is missing or malformed, it throws an error with the variable's name
 * and its schema's description, not with its value, and the function does not start.
 */
export function readEnvironment<Shape extends z.ZodRawShape>(
  shape: Shape,
  get: (name: string) => string | undefined,
): z.infer<z.ZodObject<Shape>> {
  const values = Object.fromEntries(Object.keys(shape).map((name) => [name, get(name)]))
  const { success, data, error } = z.object(shape).safeParse(values)
  if (success) return data
  const names = new Set(error.issues.map((issue) => String(issue.path[0])))
  const described = [...names].map((name) => {
    const description = (shape[name] as z.ZodType | undefined)?.description
    return description ? `${name} (${description})` : name
  })
  throw missing(described.join(', '))
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

/** The hosted platform's map of API keys as JSON, `{"default":"sb_…"}`. Returns the default key. */
export const apiKeys = z
  .string()
  .transform((text, context) => {
    try {
      return JSON.parse(text) as unknown
    } catch {
      context.addIssue('not JSON')
      return z.NEVER
    }
  })
  .pipe(z.object({ default: z.string().min(1) }))
  .transform((keys) => keys.default)
