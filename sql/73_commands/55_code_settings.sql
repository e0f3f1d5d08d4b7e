-- What staff edit of a code: its description, expiry and limit.

-- The quota of a code whose limit changes: none without a limit, the one it has with the new limit, or a new one that
-- counts the redemptions of the code and of those that were rotated into it. A predecessor in its grace shares it.
-- Raises `invalid_argument` for a limit above the cap or below what is used.
create function referral_private.change_quota(p_code referral.codes, p_max_uses int)
returns uuid
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_quota_id uuid;
  v_predecessor_ids uuid[];
begin
  if p_code.quota_id is not null and p_max_uses is not null then
    update referral.code_quotas as q
    set max_uses = p_max_uses
    from referral.organisations as o
    where q.org_id = p_code.org_id and q.quota_id = p_code.quota_id and o.id = q.org_id
      and p_max_uses <= o.max_uses_cap;
    if not found then
      perform referral_private.raise_error('invalid_argument', 'max_uses: 1 to max_uses_cap of the organisation');
    end if;
    return p_code.quota_id;
  end if;

  with recursive
    predecessors as (
      select c.id from referral.codes as c where c.org_id = p_code.org_id and c.replaced_by = p_code.id
      union
      select c.id from predecessors as p join referral.codes as c on c.org_id = p_code.org_id and c.replaced_by = p.id
    )
  select coalesce(array_agg(p.id), '{}') into v_predecessor_ids from predecessors as p;
  -- Locked, so that no redemption of theirs is under way while they are counted.
  perform from referral.codes as c
  where c.id = any (v_predecessor_ids) and c.redeemable_until > clock_timestamp()
  for no key update;
  if p_max_uses is not null then
    v_quota_id := referral_private.create_quota(p_code.org_id, p_max_uses);
    update referral.code_quotas as q
    set used = (
      select count(*) from referral.redemptions as r
      where r.org_id = p_code.org_id and r.code_id = any (v_predecessor_ids || p_code.id)
    )
    where q.org_id = p_code.org_id and q.quota_id = v_quota_id;
  end if;
  update referral.codes as c
  set quota_id = v_quota_id
  where c.id = any (v_predecessor_ids) and c.redeemable_until > clock_timestamp();
  return v_quota_id;
end
$$;

-- A new limit counts earlier redemptions. The row lock keeps other redemptions out.
create function referral_private.update_code(p_code_id uuid, p_changes jsonb)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes;
begin
  v_code := referral_private.lock_code_for_staff(p_code_id);
  perform referral_private.require_changes(p_changes, '{description,expires_at,max_uses}');
  if v_code.status not in ('active', 'suspended') and p_changes ?| '{expires_at,max_uses}'::text[] then
    perform referral_private.raise_error('code_ended', v_code.status::text);
  end if;

  if p_changes ? 'description' then
    if jsonb_typeof(p_changes -> 'description') not in ('string', 'null') then
      perform referral_private.raise_error('invalid_argument', 'description: a text, or null');
    end if;
    v_code.description := p_changes ->> 'description';
  end if;
  if p_changes ? 'expires_at' then
    v_code.expires_at := referral_private.end_time(
      p_changes ->> 'expires_at',
      (select o.time_zone from referral.organisations as o where o.id = v_code.org_id)
    );
    if (v_code.expires_at is null) <> (p_changes -> 'expires_at' = 'null') then
      perform referral_private.raise_error('invalid_argument', 'expires_at: ISO 8601, such as 2030-12-31, or null');
    end if;
    perform referral_private.require_future_expiry(v_code.expires_at);
  end if;
  if p_changes ? 'max_uses' then
    v_code.quota_id := referral_private.change_quota(v_code, (p_changes ->> 'max_uses')::int);
  end if;
  update referral.codes as c
  set description = v_code.description, expires_at = v_code.expires_at, quota_id = v_code.quota_id,
    updated_at = clock_timestamp()
  where c.id = p_code_id
  returning * into v_code;
  return v_code;
exception
  when data_exception then
    perform referral_private.raise_error('invalid_argument', 'max_uses: a whole number, or null');
end
$$;

comment on function referral_private.update_code is
  'public: Changes description, expires_at and max_uses (null: no limit); of an ended code the description only.

group: Manage codes
code_id: the code
changes: an object with these keys; expires_at in ISO 8601: a date is its end, and a time without an offset one, in the
  organisation''s time_zone
callers: coordinators, admins and the operator
errors: not_a_member, not_allowed, code_not_found, code_ended, invalid_argument, busy
timeout: 10s';

grant execute on function referral_private.update_code to authenticated, service_role;
