/** A database whose collation sorts as people do: what ids decide stays as it is where they are sorted byte by byte. */
import { expect, test } from 'vitest'
import { ties } from '../fixtures/told/ties.ts'
import { collatedDatabase } from '../support/collated-database.ts'
import { endsAsTold } from '../support/told-endings.ts'

const sql = await collatedDatabase('en-US')

test('the database sorts a before B', async () => {
  const rows = await sql`select id from (values ('in_B'), ('in_a')) as ids (id) order by id`
  expect(rows.map(({ id }) => id)).toEqual(['in_a', 'in_B'])
})

test.for(ties)('%s', async (story) => {
  await endsAsTold(sql, story, { orders: 1, seed: 1 })
})
