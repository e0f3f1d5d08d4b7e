/** What `init` and `remove` write into `supabase/config.toml`, for the shapes that repositories have. */
import { parse } from 'smol-toml'
import { expect, test } from 'vitest'
import { addToConfig, ConfigEditError, removeFromConfig } from '../../cli/repository/config.ts'

const functions = ['referbase-link']
const section = `[functions.referbase-link]
verify_jwt = false
entrypoint = "./functions/referbase-link/index.js"
`

/** What each shape becomes. What is not shown here is the section of the function, appended. */
const appended: [string, string, string][] = [
  ['an empty file', '', '[api]\nschemas = ["public", "graphql_public", "referral"]\n'],
  [
    'a project id only',
    'project_id = "abc"\n',
    'project_id = "abc"\n\n[api]\nschemas = ["public", "graphql_public", "referral"]\n',
  ],
  [
    'no newline at the end',
    'project_id = "abc"',
    'project_id = "abc"\n\n[api]\nschemas = ["public", "graphql_public", "referral"]\n',
  ],
  [
    'comments and examples that are commented out',
    '# [api]\n# schemas = ["other"]\n[api] # the Data API\nport = 54321\n# exposed\nschemas = ["public", "graphql_public"] # , "more"\n',
    '# [api]\n# schemas = ["other"]\n[api] # the Data API\nport = 54321\n# exposed\nschemas = ["public", "graphql_public", "referral"] # , "more"\n',
  ],
  [
    '[api] without schemas',
    '[api]\nport = 1 # a port\n# next\n\n[db]\nport = 2\n',
    '[api]\nport = 1 # a port\nschemas = ["public", "graphql_public", "referral"]\n# next\n\n[db]\nport = 2\n',
  ],
  [
    '[api] without anything',
    '[db]\nport = 2\n[api]',
    '[db]\nport = 2\n[api]\nschemas = ["public", "graphql_public", "referral"]\n',
  ],
  [
    'an array of several lines',
    '[api]\nschemas = [\n  "public", # ours\n  "storage" # files, too\n]\n',
    '[api]\nschemas = [\n  "public", # ours\n  "storage", # files, too\n  "referral"\n]\n',
  ],
  [
    'an array of several lines with a comma at the end',
    '[api]\nschemas = [\n\t"public",\n\t"storage", # files\n\t# "more",\n]\n',
    '[api]\nschemas = [\n\t"public",\n\t"storage", # files\n\t"referral",\n\t# "more",\n]\n',
  ],
  [
    'an array that ends on the line of its last element',
    "[api]\nschemas = [ 'public',\n  'storage', ]\n",
    "[api]\nschemas = [ 'public',\n  'storage', \"referral\", ]\n",
  ],
  ['an empty array', '[api]\nschemas = []\n', '[api]\nschemas = ["referral"]\n'],
  [
    'dotted keys',
    'api.port = 1\napi.enabled = true\n[db]\nport = 2\n',
    'api.port = 1\napi.schemas = ["public", "graphql_public", "referral"]\napi.enabled = true\n[db]\nport = 2\n',
  ],
  [
    'quoted keys',
    '["api"]\n"schemas" = ["public"]\n',
    '["api"]\n"schemas" = ["public", "referral"]\n',
  ],
  [
    'an inline table',
    'api = { port = 1, schemas = ["public"] } # all\n',
    'api = { port = 1, schemas = ["public", "referral"] } # all\n',
  ],
  [
    'an inline table without schemas',
    'api = {}\n',
    'api = { schemas = ["public", "graphql_public", "referral"] }\n',
  ],
  [
    'a table of functions',
    '[functions]\nhello = { verify_jwt = true }\nlink.verify_jwt = false\n[api]\nschemas = ["public"]\n',
    '[functions]\nhello = { verify_jwt = true }\nlink.verify_jwt = false\n[api]\nschemas = ["public", "referral"]\n',
  ],
  [
    'functions with sections and remotes',
    '[functions.link]\nverify_jwt = false\n[remotes.staging.api]\nschemas = ["public"]\n[[extra]]\na = 1\n',
    '[functions.link]\nverify_jwt = false\n[remotes.staging.api]\nschemas = ["public"]\n[[extra]]\na = 1\n\n[api]\nschemas = ["public", "graphql_public", "referral"]\n',
  ],
]

test.each(appended)('%s', (_, before, expected) => {
  const after = addToConfig(before, functions)
  expect(after).toBe(`${expected}\n${section}`)
  expect(addToConfig(after, functions)).toBe(after)
  expectUndone(before, after)
})

const api = '[api]\nschemas = ["referral"]\n'

/** Where functions are written in another way than as sections. */
const inPlace: [string, string, string][] = [
  [
    'an inline table of functions',
    `functions = { hello = { verify_jwt = true } }\n${api}`,
    `functions = { hello = { verify_jwt = true }, referbase-link.verify_jwt = false, referbase-link.entrypoint = "./functions/referbase-link/index.js" }\n${api}`,
  ],
  [
    'dotted functions at the top',
    `functions.hello.verify_jwt = false\n${api}`,
    `functions.hello.verify_jwt = false\nfunctions.referbase-link.verify_jwt = false\nfunctions.referbase-link.entrypoint = "./functions/referbase-link/index.js"\n${api}`,
  ],
  [
    'the function is there, with tokens verified',
    `[functions.referbase-link]\n  enabled = true\n  verify_jwt = true # mine\n${api}`,
    `[functions.referbase-link]\n  enabled = true\n  verify_jwt = false # mine\n  entrypoint = "./functions/referbase-link/index.js"\n${api}`,
  ],
  [
    'the function is there, inline',
    `${api}[functions]\nreferbase-link = { verify_jwt = true }\n`,
    `${api}[functions]\nreferbase-link = { verify_jwt = false, entrypoint = "./functions/referbase-link/index.js" }\n`,
  ],
  [
    'the function is there, dotted',
    `${api}[functions]\n"referbase-link".verify_jwt = false\nhello.verify_jwt = true\n`,
    `${api}[functions]\n"referbase-link".verify_jwt = false\nreferbase-link.entrypoint = "./functions/referbase-link/index.js"\nhello.verify_jwt = true\n`,
  ],
]

test.each(inPlace)('%s', (_, before, expected) => {
  const after = addToConfig(before, functions)
  expect(after).toBe(expected)
  expect(addToConfig(after, functions)).toBe(after)
  const { 'referbase-link': _ours, ...others } = tables(before).functions ?? {}
  const removed = tables(removeFromConfig(after, functions))
  expect(removed.functions ?? {}).toEqual(others)
  expect(removed.api?.schemas).toEqual([])
})

test('Windows line endings and a byte order mark stay', () => {
  const before = '\ufeff# mine\r\n[api]\r\nschemas = [\r\n  "public"\r\n]\r\n'
  const after = addToConfig(before, functions)
  expect(after).toBe(
    `\ufeff# mine\r\n[api]\r\nschemas = [\r\n  "public",\r\n  "referral"\r\n]\r\n\r\n${section.replaceAll('\n', '\r\n')}`,
  )
  expectUndone(before, after)
})

test('dates, large numbers and texts of several lines stay', () => {
  const before = `at = 1979-05-27T07:32:00Z\nday = 1979-05-27\nbig = 9223372036854775807\nnot = nan\ntext = """\n[api]\nschemas = []\n"""\n`
  const after = addToConfig(before, functions)
  expect(after.startsWith(before)).toBe(true)
  expectUndone(before, after)
})

test.each([
  ['schemas from the environment', '[api]\nschemas = "env(SCHEMAS)"\n'],
  ['functions that are no table', 'functions = [1]\n'],
  ['a function that is no table', '[functions]\nreferbase-link = true\n'],
])('%s cannot be edited, and the lines to write are said', (_, before) => {
  const edit = () => addToConfig(before, functions)
  expect(edit).toThrow(ConfigEditError)
  expect(edit).toThrow(section)
})

test('what would leave a file that is not TOML is not removed, and the lines to remove are said', () => {
  const text = addToConfig('[api]\nschemas = [\n  "public" # ours\n  ,\n]\n', functions)
  expect(tables(text).api?.schemas).toEqual(['public', 'referral'])
  expect(() => removeFromConfig(text, functions)).toThrow(/Remove these lines .*"referral"/s)
})

test('a file that is not TOML is refused with the place', () => {
  expect(() => addToConfig('[api\n', functions)).toThrow(
    /supabase\/config.toml cannot be read: .*1:/s,
  )
})

/** Everything is as before, but for schemas that are now named. */
function expectUndone(before: string, after: string): void {
  const defaults = { schemas: ['public', 'graphql_public'] }
  const old = parse(before.replace('\ufeff', ''), { integersAsBigInt: 'asNeeded' })
  const api = { ...defaults, ...(old.api as object) }
  const removed = removeFromConfig(after, functions).replace('\ufeff', '')
  expect(parse(removed, { integersAsBigInt: 'asNeeded' })).toEqual({ ...old, api })
  // Where it named schemas, the text itself is as before, but for a comma.
  const text = before.replace('\ufeff', '')
  if ('schemas' in ((old.api as object) ?? {})) {
    expect(removed.replaceAll(',', '')).toBe(text.replaceAll(',', ''))
  }
}

const tables = (text: string) =>
  parse(text) as { functions?: Record<string, unknown>; api?: { schemas?: string[] } }
