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

-- Takes one use of a limited code, or raises `code_limit_reached`. One conditional statement: with one use left and
-- any number of callers, one of them gets it.
create function referral_private.use_quota(p_org_id uuid, p_quota_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_quota_id is null then
    return;
  end if;
  update referral.code_quotas as q
  set used = q.used + 1
  where q.org_id = p_org_id and q.quota_id = p_quota_id and q.used < q.max_uses;
  if not found then
    perform referral_private.raise_error('code_limit_reached');
  end if;
end
$$;
