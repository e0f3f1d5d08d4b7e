-- How codes end: past their time, or invalidated by their referrer or staff. (Rotation ends a code and issues the
-- next: 73_commands.) These functions lock the codes first, so that the time of an end is later than any redemption
-- under way.

-- A code as of now. Past its expiry it is `expired`, even if the row does not say so yet. Readers of the table must
-- compare `expires_at`, as the client does.
create function referral_private.as_of_now(p_code referral.codes)
returns referral.codes
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_code.status in ('active', 'suspended') and p_code.expires_at <= clock_timestamp() then
    p_code.status := 'expired';
    p_code.ended_at := p_code.expires_at;
  end if;
  return p_code;
end
$$;

-- Refuses an expiry that has passed, with `invalid_argument`. No expiry is fine.
create function referral_private.require_future_expiry(p_expires_at timestamptz)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_expires_at <= clock_timestamp() then
    perform referral_private.raise_error('invalid_argument', 'expires_at: in the future');
  end if;
end
$$;

-- Expires those of these codes whose time is over, and returns how many.
create function referral_private.expire(p_code_ids uuid[])
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_expired int;
begin
  update referral.codes as c
  set status = 'expired', ended_at = c.expires_at, reason = null, updated_at = clock_timestamp()
  where c.id = any (p_code_ids) and c.status in ('active', 'suspended') and c.expires_at <= clock_timestamp();
  get diagnostics v_expired = row_count;
  return v_expired;
end
$$;

-- Ends those of these codes that are in use for good, and returns them. They may have ended while this waited.
create function referral_private.invalidate(p_code_ids uuid[], p_reason text)
returns setof referral.codes
language plpgsql
volatile
rows 1
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from referral.codes as c
  where c.id = any (p_code_ids) and c.status in ('active', 'suspended')
  for no key update;
  return query
  update referral.codes as c
  set status = 'invalidated', ended_at = clock_timestamp(), ended_by = auth.uid(), reason = p_reason,
    updated_at = clock_timestamp()
  where c.id = any (p_code_ids) and c.status in ('active', 'suspended')
  returning c.*;
end
$$;

-- Ends the grace of each of these codes that is in its grace.
create function referral_private.end_grace(p_code_ids uuid[], p_reason text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from referral.codes as c
  where c.id = any (p_code_ids) and c.redeemable_until > clock_timestamp()
  for no key update;
  update referral.codes as c
  set redeemable_until = clock_timestamp(), ended_by = auth.uid(), reason = p_reason, updated_at = clock_timestamp()
  where c.id = any (p_code_ids) and c.redeemable_until > clock_timestamp();
end
$$;

-- The codes of a referrer that are in use.
create function referral_private.codes_in_use(p_org_id uuid, p_referrer_id uuid)
returns setof referral.codes
language plpgsql
stable
rows 2
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select c.*
  from referral.codes as c
  where c.org_id = p_org_id and c.referrer_id = p_referrer_id and c.status in ('active', 'suspended');
end
$$;

-- Ends the grace of a referrer's rotated codes. The member row is locked.
create function referral_private.end_grace_of(p_org_id uuid, p_referrer_id uuid, p_reason text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.end_grace(
    array(
      select c.id from referral.codes as c
      where c.org_id = p_org_id and c.referrer_id = p_referrer_id and c.redeemable_until > clock_timestamp()
    ),
    p_reason
  );
end
$$;

-- Expires a referrer's codes whose time is over. The member row is locked.
create function referral_private.expire_codes_of(p_org_id uuid, p_referrer_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.expire(array(select c.id from referral_private.codes_in_use(p_org_id, p_referrer_id) as c));
end
$$;

-- Ends a referrer's codes of these statuses for good, and every grace. Returns the codes that it ended. The member
-- row is locked.
create function referral_private.end_codes_of(
  p_org_id uuid,
  p_referrer_id uuid,
  p_statuses referral.code_status[],
  p_reason text
)
returns setof referral.codes
language plpgsql
volatile
rows 1
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.expire_codes_of(p_org_id, p_referrer_id);
  perform referral_private.end_grace_of(p_org_id, p_referrer_id, p_reason);
  return query
  select c.*
  from referral_private.invalidate(
    array(
      select used.id
      from referral_private.codes_in_use(p_org_id, p_referrer_id) as used
      where used.status = any (p_statuses)
    ),
    p_reason
  ) as c;
end
$$;

-- Skips rows that another transaction has locked.
create function referral_private.expire_codes(p_max_rows int default 1000)
returns int
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  -- A constant, because clock_timestamp() in a condition keeps Postgres from using an index.
  v_now constant timestamptz := clock_timestamp();
begin
  return referral_private.expire(
    array(
      select c.id from referral.codes as c
      where c.status in ('active', 'suspended') and c.expires_at <= v_now
      order by c.expires_at
      limit greatest(p_max_rows, 0)
      for no key update skip locked
    )
  );
end
$$;

comment on function referral_private.expire_codes is
  'public: Ends codes that are past their time and returns how many. Call again while that is max_rows.

group: Run jobs
max_rows: how many rows at most in this call
callers: the operator
errors: none
timeout: 10s';

grant execute on function referral_private.expire_codes to service_role;
