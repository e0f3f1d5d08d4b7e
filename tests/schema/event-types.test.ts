/** The Stripe event types stand in the webhook, in the SQL function and in docs/stripe.md. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { schemas } from '../../functions/stripe-webhook/event.ts'
import { testDatabase } from '../support/database.ts'

const sql = await testDatabase()
const kindOf = 'referral_private.object_kind_of(text)'
const types = [...schemas.keys()].sort()

test('docs/stripe.md lists exactly the event types whose object the webhook reads', () => {
  const [, table = ''] = /\| event .*\n\|[-| ]*\n((?:\|.*\n)*)/.exec(
    readFileSync('docs/stripe.md', 'utf8'),
  ) ?? ['', '']
  const documented = table
    .trim()
    .split('\n')
    .flatMap((row) => {
      const [first = '', ...endings] = [...(row.split('|')[1] ?? '').matchAll(/`([\w.]+)`/g)].map(
        ([, name]) => String(name),
      )
      return [first, ...endings.map((ending) => first.replace(/\.\w+$/, ending))]
    })
  expect(documented.sort()).toEqual(types)
})

test('the database names exactly these types', async () => {
  const [row] = await sql`select pg_get_functiondef(${kindOf}::regprocedure) as text`
  const named = [...String(row?.text).matchAll(/'([a-z_]+(?:\.[a-z_]+)+)'/g)].map(
    ([, type]) => type,
  )
  expect(named.sort()).toEqual(types)
})

test('the database knows the kind of each, one kind per schema', async () => {
  const rows = await sql`
    select type, ${sql.unsafe(kindOf.replace('text', 'type'))} as kind from unnest(${types}::text[]) as type`
  const pairs = new Set(rows.map(({ type, kind }) => [String(kind), schemas.get(type)] as const))
  const kinds = new Map(pairs)
  expect(rows.filter(({ kind }) => kind === null)).toEqual([])
  expect(kinds.size).toBe(new Set(schemas.values()).size)
  for (const [kind, schema] of pairs) expect(kinds.get(kind)).toBe(schema)
})
