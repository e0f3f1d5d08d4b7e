-- What a hosted Supabase project has in its database before the first migration: schemas, and the functions that
-- read the caller's token. The tables of `auth` are made before this file runs.
create schema if not exists extensions;

grant usage on schema extensions to postgres, anon, authenticated, service_role;

grant create on schema extensions to postgres;

create schema if not exists auth;

create or replace function auth.jwt()
returns jsonb
language sql
stable
as $$
  select
    coalesce(
      nullif(current_setting('request.jwt.claim', true), ''),
      nullif(current_setting('request.jwt.claims', true), '')
    )::jsonb;
$$;

create or replace function auth.uid()
returns uuid
language sql
stable
as $$
  select
    coalesce(
      nullif(current_setting('request.jwt.claim.sub', true), ''),
      nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid;
$$;

create or replace function auth.role()
returns text
language sql
stable
as $$
  select
    coalesce(
      nullif(current_setting('request.jwt.claim.role', true), ''),
      nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
    )::text;
$$;

create or replace function auth.email()
returns text
language sql
stable
as $$
  select
    coalesce(
      nullif(current_setting('request.jwt.claim.email', true), ''),
      nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
    )::text;
$$;

grant usage on schema auth to postgres, anon, authenticated, service_role;

grant execute on all functions in schema auth to postgres, anon, authenticated, service_role;

grant all on all tables in schema auth to postgres;

-- Migrations add tables to it, though nothing publishes them here.
create publication supabase_realtime;

alter publication supabase_realtime owner to postgres;
