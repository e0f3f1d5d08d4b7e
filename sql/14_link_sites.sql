-- The organisation behind a link host of its own: what the host's web pages and apps are, for whoever asks the host.
create function referral_private.link_site(p_host text)
returns table (
  link_origin text,
  web_destination text,
  ios_app_ids text[],
  android_package text,
  android_fingerprints text[]
)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query
  select o.link_origin, o.web_destination, o.ios_app_ids, o.android_package, o.android_fingerprints
  from referral.organisations as o
  where o.link_origin = 'https://' || lower(p_host);
end
$$;

revoke execute on function referral_private.link_site from public;

grant execute on function referral_private.link_site to anon, authenticated, service_role;
