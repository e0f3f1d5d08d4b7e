/** What `supabase/config.toml` must say of us: the exposed schema, and two functions that check their callers themselves. */
import { isDeepStrictEqual } from 'node:util'
import { parse, type TomlTable } from 'smol-toml'
import { CliError } from '../cli-error.ts'
import { appendElement, removeElement, removeValue, setValue } from './toml.ts'

const schema = 'referral'
/** What is exposed where `[api]` names no schemas. */
const defaultSchemas = ['public', 'graphql_public']

/** Thrown where an edit would change something else. Its message says what to write by hand. */
export class ConfigEditError extends CliError {}

/** Exposes the schema and adds the functions. What is right already stays as it is. */
export function addToConfig(text: string, functions: string[]): string {
  const before = read(text)
  const edits: Edit[] = []
  const schemas = tableAt(before, 'api')?.schemas
  if (schemas === undefined) {
    const all = [...defaultSchemas, schema]
    edits.push({
      text: (toml) => setValue(toml, ['api', 'schemas'], `[${all.map(quote).join(', ')}]`),
      value: (root) => {
        root.api = { ...tableAt(root, 'api'), schemas: all }
      },
    })
  } else if (!Array.isArray(schemas) || !schemas.includes(schema)) {
    const all = [...(Array.isArray(schemas) ? schemas : []), schema]
    edits.push({
      text: (toml) => appendElement(toml, ['api', 'schemas'], schema),
      value: (root) => {
        root.api = { ...tableAt(root, 'api'), schemas: all }
      },
    })
  }
  for (const name of functions) {
    const current = tableAt(tableAt(before, 'functions'), name)
    for (const [key, value] of Object.entries(settingsOf(name))) {
      if (current?.[key] === value) continue
      edits.push({
        text: (toml) => setValue(toml, ['functions', name, key], JSON.stringify(value)),
        value: (root) => {
          const all = tableAt(root, 'functions')
          root.functions = { ...all, [name]: { ...tableAt(all, name), [key]: value } }
        },
      })
    }
  }
  return apply(text, edits, `Write these lines into it by hand:\n\n${linesFor(functions)}`)
}

/** Undoes `addToConfig`. */
export function removeFromConfig(text: string, functions: string[]): string {
  const before = read(text)
  const edits: Edit[] = []
  const schemas = tableAt(before, 'api')?.schemas
  if (Array.isArray(schemas) && schemas.includes(schema)) {
    edits.push({
      text: (toml) => removeElement(toml, ['api', 'schemas'], schema),
      value: (root) => {
        root.api = { ...tableAt(root, 'api'), schemas: schemas.filter((name) => name !== schema) }
      },
    })
  }
  for (const name of functions) {
    if (!tableAt(tableAt(before, 'functions'), name)) continue
    edits.push({
      text: (toml) => removeValue(toml, ['functions', name]),
      value: (root) => {
        const { [name]: _, ...rest } = tableAt(root, 'functions') ?? {}
        root.functions = rest
      },
    })
  }
  return apply(text, edits, `Remove these lines from it by hand:\n\n${linesFor(functions)}`)
}

/** An edit of the text, and what it does to what the text says. */
type Edit = { text: (toml: string) => string; value: (root: TomlTable) => void }

function apply(text: string, edits: Edit[], byHand: string): string {
  if (edits.length === 0) return text
  const mark = text.startsWith('\ufeff') ? '\ufeff' : ''
  const expected = read(text)
  try {
    let edited = text.slice(mark.length)
    for (const edit of edits) {
      edited = edit.text(edited)
      edit.value(expected)
    }
    if (isDeepStrictEqual(plain(read(edited)), plain(expected))) return mark + edited
  } catch {
    // The text cannot be edited: the same as if the edit had changed something else.
  }
  throw new ConfigEditError(
    `supabase/config.toml cannot be edited without changing something else. ${byHand}`,
  )
}

function read(text: string): TomlTable {
  try {
    return parse(text.replace(/^\ufeff/, ''), { integersAsBigInt: 'asNeeded' })
  } catch (error) {
    throw new CliError(`supabase/config.toml cannot be read: ${(error as Error).message}`)
  }
}

/** Without an empty table of functions: when the last function is removed, it may stay or not. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (!isTable(value)) return value
  const entries = Object.entries(value).map(([key, inner]) => [key, plain(inner)] as const)
  return Object.fromEntries(
    entries.filter(([key, inner]) => key !== 'functions' || !isEmpty(inner)),
  )
}

const isEmpty = (value: unknown) => isTable(value) && Object.keys(value).length === 0

function tableAt(root: TomlTable | undefined, name: string): TomlTable | undefined {
  const value = root?.[name]
  return isTable(value) ? value : undefined
}

const isTable = (value: unknown): value is TomlTable =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)

const settingsOf = (name: string) => ({
  verify_jwt: false,
  entrypoint: `./functions/${name}/index.js`,
})

const quote = (text: string) => JSON.stringify(text)

const linesFor = (functions: string[]) =>
  [
    `[api]\nschemas = [${[...defaultSchemas, schema].map(quote).join(', ')}]\n`,
    ...functions.map((name) => {
      const settings = Object.entries(settingsOf(name))
      const lines = settings.map(([key, value]) => `${key} = ${JSON.stringify(value)}`)
      return `[functions.${name}]\n${lines.join('\n')}\n`
    }),
  ].join('\n')
