-- The roles that a hosted Supabase project has. `postgres` is not a superuser there, so migrations run without one here.
create role postgres login createrole createdb bypassrls replication;

create role anon nologin noinherit;

create role authenticated nologin noinherit;

create role service_role nologin noinherit bypassrls;

grant anon, authenticated, service_role to postgres with admin option;
