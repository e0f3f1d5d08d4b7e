-- The organisation behind a link host of its own: the destination of the host's pages, and the apps that open its
-- links.
create type referral.link_site as (
  link_origin text,
  web_destination text,
  ios_app_ids text[],
  android_package text,
  android_fingerprints text[]
);

create function referral_private.link_site(p_host text)
returns setof referral.link_site
language plpgsql
stable
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select o.link_origin, o.web_destination, o.ios_app_ids, o.android_package, o.android_fingerprints
  from referral.organisations as o
  where o.link_origin = 'https://' || lower(p_host);
end
$$;

comment on function referral_private.link_site is
  'public: Returns what anyone may know of a link host: the destination of its organisation, and the apps that open its
links. No row for a host that no organisation has.

group: Follow a link
host: such as go.example.org or go.example.org:8443
callers: anyone
errors: none
timeout: 5s';

grant execute on function referral_private.link_site to anon, authenticated, service_role;
