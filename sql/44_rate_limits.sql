-- How many redemptions an account, and an address, may make in an hour. Only redemptions that are committed count: a
-- refusal rolls its count back. The counts are the last rows that a redemption locks.

create table referral_private.redemption_counts (
  org_id uuid not null,
  counted text not null,
  hour timestamptz not null,
  redemptions int not null,
  constraint redemption_counts_pkey primary key (org_id, counted, hour)
);

create index redemption_counts_by_hour on referral_private.redemption_counts (hour);

alter table referral_private.redemption_counts enable row level security;

-- The caller's address. Hosted Supabase stands behind Cloudflare, which sets `cf-connecting-ip` itself, whatever the
-- client sends; the local gateway does the same. Behind another proxy, replace this function by one that reads the
-- header which that proxy sets. No address means no limit by address, and locks nobody out.
create function referral_private.client_address()
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return nullif(nullif(current_setting('request.headers', true), '')::jsonb ->> 'cf-connecting-ip', '');
end
$$;

revoke execute on function referral_private.client_address from public;

-- The network of an address: as long as one subscriber's is, a /64, for IPv6, and as long as is asked for IPv4. Null for what
-- is no address.
create function referral_private.network_of(p_address text, p_ipv4_length int)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_address inet;
begin
  v_address := regexp_replace(p_address, '^::ffff:(?=\d+\.)', '', 'i');
  return host(network(set_masklen(v_address, case family(v_address) when 6 then 64 else p_ipv4_length end)));
exception
  when invalid_text_representation then
    return null;
end
$$;

revoke execute on function referral_private.network_of from public;

-- Counts a redemption by account and by address; an address is stored as a hash. Raises `rate_limited`.
create function referral_private.count_redemption(p_org_id uuid, p_user_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_organisation referral.organisations;
  v_address text := referral_private.network_of(referral_private.client_address(), 32);
begin
  select * into strict v_organisation from referral.organisations as o where o.id = p_org_id;
  perform referral_private.count_within(p_org_id, 'account:' || p_user_id, v_organisation.redemptions_per_account);
  if v_address is not null then
    perform referral_private.count_within(
      p_org_id, 'address:' || encode(sha256(convert_to(p_org_id || v_address, 'UTF8')), 'hex'), v_organisation.redemptions_per_address
    );
  end if;
end
$$;

revoke execute on function referral_private.count_redemption from public;

create function referral_private.count_within(p_org_id uuid, p_counted text, p_limit int)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  insert into referral_private.redemption_counts as c (org_id, counted, hour, redemptions)
  values (p_org_id, p_counted, date_trunc('hour', clock_timestamp()), 1)
  on conflict on constraint redemption_counts_pkey do update
  set redemptions = c.redemptions + 1
  where c.redemptions < p_limit;
  if not found then
    perform referral_private.raise_error('rate_limited');
  end if;
end
$$;

revoke execute on function referral_private.count_within from public;

-- Removes counts of past hours, at most `p_limit`: for any scheduler.
create function referral_private.forget_counts(p_limit int)
returns int
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_removed int;
begin
  delete from referral_private.redemption_counts as c
  using (
    select d.org_id, d.counted, d.hour from referral_private.redemption_counts as d
    where d.hour < date_trunc('hour', clock_timestamp()) - interval '1 hour'
    limit greatest(p_limit, 0)
    for update skip locked
  ) as past
  where (c.org_id, c.counted, c.hour) = (past.org_id, past.counted, past.hour);
  get diagnostics v_removed = row_count;
  return v_removed;
end
$$;

revoke execute on function referral_private.forget_counts from public;

grant execute on function referral_private.forget_counts to service_role;
