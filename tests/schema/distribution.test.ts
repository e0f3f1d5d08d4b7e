/**
 * What a database that is spread over machines needs: every key carries the organisation, or the Stripe account of which
 * it is a fact. Others are named here, with the reason.
 */
import { expect, test } from 'vitest'
import { testDatabase } from '../support/database.ts'

const sql = await testDatabase()

const uuid = 'drawn at random, and unique without an index that knows all'
const directory = 'found before the organisation is known: a directory that every machine needs'
const user = 'of a user of the project, before there is an organisation'
const small = 'a few rows, the same for all: a copy on each machine'

/** The keys of the whole installation. */
const global = {
  archived_months_pkey: small,
  codes_key_is_unique: directory,
  codes_pkey: uuid,
  day_keys_pkey: small,
  maintenance_runs_pkey: small,
  organisations_link_origin_is_unique: directory,
  organisations_pkey: uuid,
  organisations_slug_is_unique: directory,
  organisations_stripe_account_is_unique: directory,
  programs_pkey: uuid,
  reserved_words_are_one_spelling: small,
  reserved_words_pkey: small,
  sign_up_claims_pkey: user,
  sign_up_reservations_pkey: user,
  switches_pkey: 'counts the changes of all programs, in order',
}

test('every key carries the organisation or the Stripe account, or is named as global', async () => {
  const rows = await sql<{ name: string }[]>`
    select c.relname as name
    from pg_index as i
    join pg_class as c on c.oid = i.indexrelid
    where c.relnamespace::regnamespace::text like 'referral%' and i.indisunique and not c.relispartition
      and not exists (
        select from pg_attribute as a
        where a.attrelid = i.indrelid and a.attnum = any (i.indkey) and a.attname in ('org_id', 'stripe_account')
      )
    order by 1`
  const names = rows.map(({ name }) => name).filter((name) => !name.startsWith('pg_toast'))
  expect(names).toEqual(Object.keys(global).toSorted())
})
