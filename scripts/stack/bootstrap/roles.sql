-- The roles that a hosted Supabase project has. `postgres` is not a superuser there, so migrations run without one here.
create role postgres login createrole createdb bypassrls replication;

create role anon nologin noinherit;

create role authenticated nologin noinherit;

create role service_role nologin noinherit bypassrls;

-- Auth calls its hooks as this role, so that they are granted to it. It has no password here: nothing logs in as it.
create role supabase_auth_admin login noinherit createrole;

grant anon, authenticated, service_role to postgres with admin option;
