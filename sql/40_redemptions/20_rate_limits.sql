-- How many redemptions a user, and an address, may make in an hour. Only redemptions that are committed count: a
-- refusal rolls its count back. The buckets are the last rows that a redemption locks.
create table referral_private.rate_limit_buckets (
  org_id uuid not null,
  bucket text collate "C" not null,
  hour timestamptz not null,
  redemptions int not null,
  constraint rate_limit_buckets_pkey primary key (org_id, bucket, hour)
);

create index rate_limit_buckets_by_hour on referral_private.rate_limit_buckets (hour);

alter table referral_private.rate_limit_buckets enable row level security;

-- Takes one of a bucket's uses in this hour, or raises `rate_limited`.
create function referral_private.count_within(p_org_id uuid, p_bucket text, p_limit int)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into referral_private.rate_limit_buckets as c (org_id, bucket, hour, redemptions)
  values (p_org_id, p_bucket, date_trunc('hour', clock_timestamp(), 'UTC'), 1)
  on conflict on constraint rate_limit_buckets_pkey do update
  set redemptions = c.redemptions + 1
  where c.redemptions < p_limit;
  if not found then
    perform referral_private.raise_error('rate_limited');
  end if;
end
$$;

-- The bucket of an address on a day, in one organisation: a hash under the key of the day. Null without an address.
create function referral_private.address_bucket(p_day date, p_org_id uuid, p_address text)
returns text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_network text := referral_private.network_of(p_address, 32);
begin
  if v_network is null then
    return null;
  end if;
  return 'address:' || encode(referral_private.hash_of_day(p_day, p_org_id || ' ' || v_network), 'hex');
end
$$;

-- Counts a redemption by user and by address. The day's first redemption draws a key, for which others wait: before
-- they lock a bucket. Raises `rate_limited`.
create function referral_private.count_redemption(p_org_id uuid, p_user_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_per_user int;
  v_per_address int;
  v_address_bucket text := referral_private.address_bucket(
    (clock_timestamp() at time zone 'utc')::date, p_org_id, referral_private.client_address()
  );
begin
  select o.redemptions_per_user, o.redemptions_per_address into strict v_per_user, v_per_address
  from referral.organisations as o
  where o.id = p_org_id;
  perform referral_private.count_within(p_org_id, 'user:' || p_user_id, v_per_user);
  if v_address_bucket is not null then
    perform referral_private.count_within(p_org_id, v_address_bucket, v_per_address);
  end if;
end
$$;

create function referral_private.purge_rate_limits(p_max_rows int default 1000)
returns int
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
-- The statistics of a table that was emptied mislead: rows are found by an index, and deleted by their place.
set enable_seqscan = off
as $$
declare
  -- A constant, because clock_timestamp() in a condition keeps Postgres from using an index.
  v_before constant timestamptz := date_trunc('hour', clock_timestamp(), 'UTC') - interval '1 hour';
  v_removed int;
begin
  perform referral_private.forget_keys_before((clock_timestamp() at time zone 'utc')::date);
  delete from referral_private.rate_limit_buckets as c
  where c.ctid = any (
    array(
      select d.ctid from referral_private.rate_limit_buckets as d
      where d.hour < v_before
      limit greatest(p_max_rows, 0)
      for update skip locked
    )
  );
  get diagnostics v_removed = row_count;
  return v_removed;
end
$$;

comment on function referral_private.purge_rate_limits is
  'public: Deletes rate-limit counts of past hours and returns how many. Call again while that is max_rows. Deletes the
keys of past days too, under which addresses were hashed.

group: Run jobs
max_rows: how many rows at most in this call
callers: the operator
errors: none
timeout: 10s';

grant execute on function referral_private.purge_rate_limits to service_role;
