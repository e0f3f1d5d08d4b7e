/** Texts are compared byte by byte: the order of no locale, and every index serves every comparison. */
import { expect, test } from 'vitest'
import { testDatabase } from '../support/database.ts'

const sql = await testDatabase()

test('every text in an index has the collation "C": beside a text of it another index is not used', async () => {
  const others = await sql`
    select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid, k.place::int, false) as of
    from pg_index as i
    join pg_class as r on r.oid = i.indrelid
    cross join unnest(i.indcollation::oid[]) with ordinality as k (collation_id, place)
    join pg_collation as c on c.oid = k.collation_id
    where r.relnamespace in ('referral'::regnamespace, 'referral_private'::regnamespace) and c.collname <> 'C'`
  expect(others).toEqual([])
})
