-- How often a limited code may be used.

-- Makes a quota of 1 use up to the organisation's cap. Raises `invalid_argument`.
create function referral_private.create_quota(p_org_id uuid, p_max_uses int)
returns uuid
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_quota_id uuid;
begin
  insert into referral.code_quotas (org_id, max_uses)
  select o.id, p_max_uses from referral.organisations as o where o.id = p_org_id and p_max_uses <= o.max_uses_cap
  returning quota_id into v_quota_id;
  if not found then
    perform referral_private.raise_error('invalid_argument', 'max_uses: 1 to max_uses_cap of the organisation');
  end if;
  return v_quota_id;
end
$$;

-- Locks a code's quota and returns how many of its uses this person can still take, those that are reserved for others
-- left out. The lock comes first: a reservation does not change the quota row.
create function referral_private.lock_uses_left(p_code referral.codes, p_user_id uuid)
returns bigint
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_left int;
begin
  select q.max_uses - q.used into strict v_left
  from referral.code_quotas as q
  where q.org_id = p_code.org_id and q.quota_id = p_code.quota_id
  for no key update;
  return v_left - referral_private.reserved_uses(p_code.org_id, coalesce(p_code.chain_id, p_code.id), p_user_id);
end
$$;

-- Whether a limited code has uses, reserved ones too.
create function referral_private.has_uses(p_code referral.codes)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from referral.code_quotas as q
    where q.org_id = p_code.org_id and q.quota_id = p_code.quota_id and q.used < q.max_uses
  );
end
$$;

-- Says why a limited code has no use for somebody: all are used, or sign-ups have reserved the rest. Raises
-- `code_limit_reached`, `code_uses_reserved`.
create function referral_private.refuse_use(p_code referral.codes)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if referral_private.has_uses(p_code) then
    perform referral_private.raise_error('code_uses_reserved');
  end if;
  perform referral_private.raise_error('code_limit_reached');
end
$$;

-- Takes one use of a limited code, the one that this person has reserved or another. With one use left and any number
-- of callers, one of them gets it. The update locks the row: what is reserved is read after it, and an error gives the
-- use back. Raises `code_limit_reached`, `code_uses_reserved`.
create function referral_private.use_quota(p_code referral.codes, p_user_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_chain_id constant uuid := coalesce(p_code.chain_id, p_code.id);
  v_left int;
begin
  if p_code.quota_id is null then
    return;
  end if;
  update referral.code_quotas as q
  set used = q.used + 1
  where q.org_id = p_code.org_id and q.quota_id = p_code.quota_id and q.used < q.max_uses
  returning q.max_uses - q.used into v_left;
  if not found then
    perform referral_private.raise_error('code_limit_reached');
  end if;
  if exists (
    select from referral_private.sign_up_reservations as r where r.org_id = p_code.org_id and r.chain_id = v_chain_id
  ) then
    if v_left < referral_private.reserved_uses(p_code.org_id, v_chain_id, p_user_id) then
      perform referral_private.raise_error('code_uses_reserved');
    end if;
    delete from referral_private.sign_up_reservations as r
    where r.user_id = p_user_id and r.org_id = p_code.org_id and r.chain_id = v_chain_id;
  end if;
end
$$;

-- Reserves one use of a limited code for a person who signs up, for an hour, and returns whether there is one. A code
-- without a limit needs none. The code is locked.
create function referral_private.reserve_use(p_code referral.codes, p_user_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_code.quota_id is null then
    return true;
  end if;
  if referral_private.lock_uses_left(p_code, p_user_id) < 1 then
    return false;
  end if;
  insert into referral_private.sign_up_reservations as r (user_id, org_id, chain_id, expires_at)
  values (
    p_user_id, p_code.org_id, coalesce(p_code.chain_id, p_code.id), clock_timestamp() + interval '1 hour'
  )
  on conflict on constraint sign_up_reservations_pkey do update
  set org_id = excluded.org_id, chain_id = excluded.chain_id, expires_at = excluded.expires_at;
  return true;
end
$$;
