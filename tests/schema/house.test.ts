/** The order of sql/: a file uses only files before it, and none outgrows its concept. */
import { expect, test } from 'vitest'
import { definitions, sqlSource, uses } from '../support/sql-source.ts'

const files = await sqlSource()
const defined = definitions(files)

/** What may run up, and why. */
const allowed = new Map([
  ['referral.members', 'the policy of members asks for the roles that members hold'],
  ['referral.organisations', 'the operator is told whether the organisation exists'],
])

test('a file uses only files before it', () => {
  const up = files.flatMap((file, place) =>
    [...uses(file, defined)]
      .filter((name) => (defined.get(name) ?? 0) > place)
      .filter((name) => !(file.path === 'sql/10_people/10_identity.sql' && allowed.has(name)))
      .map((name) => `${file.path} uses ${name} of ${files[defined.get(name) ?? 0]?.path}`),
  )
  expect(up).toEqual([])
})

test('every arrow that may run up does', () => {
  const identity = files.findIndex(({ path }) => path === 'sql/10_people/10_identity.sql')
  const used = uses(files[identity] as (typeof files)[number], defined)
  const up = [...used].filter((name) => (defined.get(name) ?? 0) > identity)
  expect(up.sort()).toEqual([...allowed.keys()].sort())
})

test('the test of arrows sees calls, tables, types and rows in declarations', () => {
  const code = `
    declare v referral.codes; w referral_private.evidence[];
    begin perform referral_private.settle(1); select from referral.members as m; end`
  const found = uses({ path: 'x', text: code, code }, defined)
  expect([...found].sort()).toEqual([
    'referral.codes',
    'referral.members',
    'referral_private.evidence',
    'referral_private.settle()',
  ])
})

test('no file is longer than 250 lines, no line than 120 characters, no function than 70 lines', () => {
  const long = files.flatMap(({ path, text }) => {
    const lines = text.split('\n')
    const functions = [...text.matchAll(/^create function (\S+?)\(.*?^\$\$;$/gms)]
    return [
      ...(lines.length > 251 ? [`${path} has ${lines.length - 1} lines`] : []),
      ...lines.flatMap((line, n) =>
        line.length > 120 ? [`${path}:${n + 1} is ${line.length} long`] : [],
      ),
      ...functions
        .map(([whole, name]) => [name, whole.split('\n').length] as const)
        .filter(([, length]) => length > 70)
        .map(([name, length]) => `${name} has ${length} lines`),
    ]
  })
  expect(long).toEqual([])
})

test('every function has a line above it, or a comment, that says what it does', () => {
  const silent = files.flatMap(({ path, text }) =>
    [...text.matchAll(/(?<!^--.*\n)^create function (\S+?)\(/gm)]
      .filter(([, name]) => !text.includes(`\ncomment on function ${name} is\n`))
      .map(([, name]) => `${path}: ${name}`),
  )
  expect(silent).toEqual([])
})

test('no text in a function needs the session’s standard_conforming_strings', () => {
  const escapes = files.flatMap(({ path, code }) =>
    [...code.matchAll(/^as \$\$(.*?)^\$\$;/gms)]
      .flatMap(([, body = '']) => [...body.matchAll(/(?<!\be)'(?:[^']|'')*'/g)])
      .filter(([text]) => text.includes('\\'))
      .map(([text]) => `${path}: ${text}`),
  )
  expect(escapes).toEqual([])
})

test('nothing is revoked or granted to everybody beside a function', () => {
  const revokes = files.flatMap(({ path, code }) =>
    [...code.matchAll(/^revoke .*$/gm)].map(([line]) => `${path}: ${line}`),
  )
  expect(revokes).toEqual([])
})
