-- The version of the schema. `npm run release` sets it, and a test keeps it equal to package.json's.
create function referral_private.installed_version()
returns text
language plpgsql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return '0.1.0';
end
$$;

comment on function referral_private.installed_version is
  'public: Returns the version of referbase that the database has: that of the last migration of a release.

group: Run jobs
callers: the operator
errors: none
timeout: 5s';

grant execute on function referral_private.installed_version to service_role;
