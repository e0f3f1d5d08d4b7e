/** Servers and databases to measure on, filled faster than the API would. */
import postgres from 'postgres'
import { applyMigrations, createProject, execute } from '../scripts/stack/database.ts'
import type { Postgres } from '../scripts/stack/postgres.ts'
import { startThrowawayPostgres } from '../scripts/stack/throwaway.ts'

/** Runs the work on a server of its own, which waits for the disk as a deployed one does, and removes it. */
export async function* onServer<Row>(
  work: (server: Postgres) => AsyncGenerator<Row>,
): AsyncGenerator<Row> {
  const server = await startThrowawayPostgres({ durable: true, sharedBuffers: '6GB' })
  try {
    yield* work(server)
  } finally {
    await server.stop()
  }
}

/** The nth code, and the nth member, who owns it. */
export const code = (n: string) => `upper(left(md5((${n})::text), 16))`
export const referrer = (n: string) => `md5('referrer' || ${n})::uuid`

/**
 * A database with one organisation and this many codes of as many members, the first `limited` of them with a quota. Secondary indexes are made anew afterwards: with 10,000,000 rows that is minutes faster. Gives its address.
 */
export async function filled(
  server: Postgres,
  database: string,
  codes: number,
  limited = 0,
): Promise<string> {
  await execute(server.url('postgres', 'supabase_admin'), `create database ${database}`)
  await createProject(server, database)
  await applyMigrations(server, database)
  const url = server.url(database, 'postgres')
  await execute(
    url,
    `
    create schema bench;
    grant usage on schema bench to public;
    create table bench.ids as
    select o.id as org_id, (referral.create_program(o.id, 'bench', 'Bench', '{"enrolment": "open"}')).id as program_id
    from referral.create_organisation('Bench', 'bench', gen_random_uuid()) as o;
    create function bench.org_id() returns uuid language sql immutable as $$ select org_id from bench.ids $$;
    create function bench.program_id() returns uuid language sql immutable as $$ select program_id from bench.ids $$;
    grant select on bench.ids to public;
    update referral.organisations set max_uses_cap = 1000000000, web_destination = 'https://app.example.com';`,
  )
  const admin = postgres(server.url(database, 'supabase_admin'), { max: 1, onnotice: () => {} })
  try {
    const indexes = await admin<{ name: string; definition: string }[]>`
      select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition
      from pg_index as i
      where i.indrelid in ('referral.codes'::regclass, 'referral.members'::regclass)
        and not exists (select from pg_constraint as k where k.conindid = i.indexrelid)`
    // Foreign keys and the audit are triggers too: what is filled in is consistent, and its audit is not measured.
    await admin`set session_replication_role = replica`
    for (const { name } of indexes) await admin.unsafe(`drop index ${name}`)
    await admin.unsafe(`
      insert into referral.members (org_id, user_id)
      select bench.org_id(), ${referrer('n')} from generate_series(1, ${codes}) as n;
      insert into referral.code_quotas (org_id, max_uses)
      select bench.org_id(), 1000000000 from generate_series(1, ${limited}) as n;
      insert into referral.codes (org_id, program_id, code, referrer_id, quota_id)
      select bench.org_id(), bench.program_id(), ${code('n')}, ${referrer('n')}, q.quota_id
      from generate_series(1, ${codes}) as n
      left join (select quota_id, row_number() over () as n from referral.code_quotas) as q using (n);`)
    if (limited)
      await admin.unsafe(
        `create function bench.first_quota_id() returns uuid language sql immutable as
        $$ select quota_id from referral.codes where code_key = ${code('1')} $$`,
      )
    for (const { definition } of indexes) await admin.unsafe(definition)
    await admin.unsafe('vacuum (analyze, freeze)')
    await admin.unsafe('checkpoint')
  } finally {
    await admin.end()
  }
  return url
}

/** The statement that signs a person in for the rest of a transaction, as PostgREST does. */
export const signIn = (user: string) =>
  `select set_config('role', 'authenticated', true), set_config('request.jwt.claims', json_build_object('sub', ${user}, 'role', 'authenticated')::text, true)`
