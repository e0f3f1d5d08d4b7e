/**
 * `npm run bench`: what resolve_code costs beside a bare select with the same joins, and with a million codes beside ten
 * thousand. Every pair is measured in turns in one run, in a loop inside the server, so that neither a client nor the
 * machine's mood is what is compared.
 */
import postgres from 'postgres'
import { applyMigrations, createProject, execute } from '../scripts/stack/database.ts'
import { runMain, Sentence } from '../scripts/stack/sentence.ts'
import { startThrowawayPostgres } from '../scripts/stack/throwaway.ts'

const rounds = 15
const lookups = 20_000
const sizes = { small: 10_000, large: 1_000_000 }

/** An organisation with this many codes of as many members; triggers and audit are left out of the filling. */
const fill = (codes: number) => `
  alter table referral.codes disable trigger user;
  select set_config('bench.org', (referral.create_organisation('Bench', 'bench', gen_random_uuid())).id::text, false);
  select set_config('bench.program', (referral.create_program(current_setting('bench.org')::uuid, 'bench', 'Bench')).id::text, false);
  insert into referral.members (org_id, user_id)
  select current_setting('bench.org')::uuid, md5(n::text)::uuid from generate_series(1, ${codes}) as n;
  insert into referral.codes (org_id, program_id, code, referrer_id)
  select current_setting('bench.org')::uuid, current_setting('bench.program')::uuid,
    upper(to_hex(n + 268435456)), md5(n::text)::uuid
  from generate_series(1, ${codes}) as n;
  alter table referral.codes enable trigger user;
  analyze;
  create table public.wanted as
  select row_number() over () as n, code from (select code from referral.codes order by random() limit ${lookups}) as drawn;
  vacuum analyze`

/** The select of resolve_code as one would write it without any of this: same joins, same conditions, by the index. */
const bareSelect = `
  select c.code, o.name, p.name, m.display_name, o.web_destination, o.ios_destination, o.android_destination, o.android_package
  from referral.codes as c
  join referral.organisations as o on o.id = c.org_id
  join referral.programs as p on p.id = c.program_id
  left join referral.code_quotas as q on q.org_id = c.org_id and q.quota_id = c.quota_id
  left join referral.members as m on m.org_id = c.org_id and m.user_id = c.referrer_id and m.public_name
  where c.code_key = $1 and c.status = 'active' and (c.expires_at is null or c.expires_at > clock_timestamp())
    and o.active and p.active and (q.used is null or q.used < q.max_uses)`

const loop = (name: string, query: string) => `
  create function public.${name}() returns double precision language plpgsql as $loop$
  declare
    v_codes text[] := array(select code from public.wanted order by n);
    v_began timestamptz := clock_timestamp();
    v_code text;
    v_found record;
  begin
    foreach v_code in array v_codes loop
      select * into strict v_found from (${query.replaceAll('$1', 'v_code')}) as found;
    end loop;
    return cardinality(v_codes) / extract(epoch from clock_timestamp() - v_began);
  end $loop$`

const median = (values: number[]) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

await runMain(async () => {
  const server = await startThrowawayPostgres()
  const connections: postgres.Sql[] = []
  try {
    const open = async (database: string, codes: number) => {
      await execute(server.url('postgres', 'supabase_admin'), `create database ${database}`)
      await createProject(server, database)
      await applyMigrations(server, database)
      const sql = postgres(server.url(database, 'postgres'), { max: 1, onnotice: () => {} })
      connections.push(sql)
      for (const statement of fill(codes).split(';')) await sql.unsafe(statement)
      await sql.unsafe(loop('bare', bareSelect))
      await sql.unsafe(loop('resolve', 'select * from referral.resolve_code($1)'))
      return sql
    }
    const [small, large] = [await open('small', sizes.small), await open('large', sizes.large)]

    const plan = await large.unsafe(`explain ${bareSelect.replace('$1', "'10000001'")}`)
    const text = plan.map((row) => row['QUERY PLAN']).join('\n')
    if (!text.includes('codes_key_is_unique') || text.includes('Seq Scan on codes'))
      throw new Sentence(`Not by the index:\n${text}`)

    const rates = { bare: [] as number[], resolve: [] as number[], small: [] as number[] }
    const rate = async (sql: postgres.Sql, name: string) =>
      Number((await sql.unsafe(`select public.${name}() as rate`))[0]?.rate)
    for (let round = 0; round < rounds; round++) {
      rates.bare.push(await rate(large, 'bare'))
      rates.resolve.push(await rate(large, 'resolve'))
      rates.small.push(await rate(small, 'resolve'))
    }
    const [bare, resolve, few] = [median(rates.bare), median(rates.resolve), median(rates.small)]
    process.stdout.write(`
| measured                                                       | per second        | ratio | limit |
| -------------------------------------------------------------- | ----------------- | ----- | ----- |
| resolve_code beside a bare select, 1,000,000 codes             | ${resolve.toFixed(0)} : ${bare.toFixed(0)} | ${(resolve / bare).toFixed(2)} | 0.70 |
| resolve_code with 1,000,000 codes beside 10,000                | ${resolve.toFixed(0)} : ${few.toFixed(0)} | ${(resolve / few).toFixed(2)} | 0.85 |
`)
  } finally {
    for (const sql of connections) await sql.end()
    await server.stop()
  }
})
