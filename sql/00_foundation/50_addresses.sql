-- Where a caller comes from.

-- The caller's address. Hosted Supabase stands behind Cloudflare, which sets `cf-connecting-ip` itself, whatever the
-- client sends; the local gateway does the same. Behind another proxy, replace this function by one that reads the
-- header which that proxy sets. No address means no limit by address, and locks nobody out.
create function referral_private.client_address()
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return nullif(nullif(current_setting('request.headers', true), '')::jsonb ->> 'cf-connecting-ip', '');
end
$$;

-- The network of an address: /64 for IPv6, and the given length for IPv4. Null if it is no address.
create function referral_private.network_of(p_address text, p_ipv4_length int)
returns text
language plpgsql
immutable
strict
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_address inet;
begin
  v_address := case
    when starts_with(p_address, ':') then regexp_replace(p_address, '^::ffff:(?=[0-9]+[.])', '', 'i')
    else p_address
  end;
  return host(network(set_masklen(v_address, case family(v_address) when 6 then 64 else p_ipv4_length end)));
exception
  when invalid_text_representation then
    return null;
end
$$;
