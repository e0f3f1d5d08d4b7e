/** Servers and databases to measure on, filled faster than the API would. */
import postgres from 'postgres'
import { applyMigrations, createProject, execute } from '../scripts/stack/database.ts'
import type { Postgres } from '../scripts/stack/postgres.ts'
import { root } from '../scripts/stack/root.ts'
import { startThrowawayPostgres } from '../scripts/stack/throwaway.ts'
import { code, fillCodes } from './fill.ts'

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

/** A database with one organisation and this many codes, in shared buffers. Gives its address. */
export async function filled(
  server: Postgres,
  database: string,
  codes: number,
  limited = 0,
  folder = root,
): Promise<string> {
  await execute(server.url('postgres', 'supabase_admin'), `create database ${database}`)
  await createProject(server, database)
  await applyMigrations(server, database, { folder })
  const url = server.url(database, 'postgres')
  await execute(
    url,
    `
    create schema bench;
    grant usage on schema bench to public;
    create table bench.ids as
    select o.id as org_id, (referral.create_program(o.id, 'bench', 'Bench', '{"enrolment": "open", "commission": {"kind": "percent", "bps": 2000}}')).id as program_id
    from referral.create_organisation('Bench', 'bench', gen_random_uuid()) as o;
    create function bench.org_id() returns uuid language sql immutable as $$ select org_id from bench.ids $$;
    create function bench.program_id() returns uuid language sql immutable as $$ select program_id from bench.ids $$;
    create table bench.admins as select user_id from referral.members;
    create function bench.admin_id() returns uuid language sql immutable as $$ select user_id from bench.admins $$;
    grant select on bench.ids, bench.admins to public;
    create function bench.sign_in(user_id uuid) returns void language plpgsql as $$
    begin
      perform set_config('role', 'authenticated', true), set_config(
        'request.jwt.claims', json_build_object('sub', user_id, 'role', 'authenticated')::text, true
      );
    end $$;
    update referral.organisations set max_uses_cap = 1000000000, web_destination = 'https://app.example.com';`,
  )
  const admin = postgres(server.url(database, 'supabase_admin'), { max: 1, onnotice: () => {} })
  try {
    const [ids] = await admin<{ org: string; program: string }[]>`
      select org_id as org, program_id as program from bench.ids`
    if (ids) await fillCodes(admin, ids, codes, limited)
    if (limited)
      await admin.unsafe(
        `create function bench.first_quota_id() returns uuid language sql immutable as
        $$ select quota_id from referral.codes where code_key = ${code('1')} $$`,
      )
    await admin.unsafe('create extension pg_prewarm')
    await admin.unsafe(
      `select pg_prewarm(oid) from pg_class where relnamespace = 'referral'::regnamespace and relkind in ('r', 'i')`,
    )
    await admin.unsafe('checkpoint')
  } finally {
    await admin.end()
  }
  return url
}

/** A statement that makes a call as a person, who is signed in as PostgREST does it. */
export const as = (user: string, call: string) => `select bench.sign_in(${user}), ${call}`
