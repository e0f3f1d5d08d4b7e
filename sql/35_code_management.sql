-- What staff do with a code that is there: suspend, reactivate, end, edit. Codes are named by id, so that campaign codes
-- and codes in their grace period can be reached too.

-- Locks a code for staff: the referrer's member row first, then the code. To whoever is not staff of its organisation
-- there is no such code.
create function referral_private.lock_code_for_staff(p_code_id uuid)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_code referral.codes;
begin
  select * into v_code from referral.codes as c where c.id = p_code_id;
  if v_code.id is null or not referral_private.acts_with_role(v_code.org_id, 'coordinator') then
    perform referral_private.raise_error('code_not_found');
  end if;
  if v_code.referrer_id is not null then
    perform referral_private.lock_member(v_code.org_id, v_code.referrer_id);
  end if;
  update referral.codes as c
  set status = 'expired', deactivated_at = c.expires_at, reason = null, updated_at = clock_timestamp()
  where c.id = p_code_id and c.status in ('active', 'suspended') and c.expires_at <= clock_timestamp();
  select * into strict v_code from referral.codes as c where c.id = p_code_id for no key update;
  return v_code;
end
$$;

revoke execute on function referral_private.lock_code_for_staff from public;

-- Takes a code out of use until it is reactivated. The grace of the referrer's earlier codes ends for good.
create function referral_private.suspend_code(p_code_id uuid, p_reason text)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes;
  v_violated text;
begin
  v_code := referral_private.lock_code_for_staff(p_code_id);
  if v_code.status not in ('active', 'suspended') then
    perform referral_private.raise_error('code_final', v_code.status::text);
  end if;
  if v_code.referrer_id is not null then
    perform referral_private.end_grace_of(v_code.org_id, v_code.referrer_id, p_reason);
  end if;
  update referral.codes as c
  set status = 'suspended', reason = p_reason, updated_at = clock_timestamp()
  where c.id = p_code_id and c.status = 'active';
  select * into strict v_code from referral.codes as c where c.id = p_code_id;
  return v_code;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.suspend_code from public;

grant execute on function referral_private.suspend_code to authenticated, service_role;

create function referral_private.reactivate_code(p_code_id uuid, p_reason text)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes;
  v_violated text;
begin
  v_code := referral_private.lock_code_for_staff(p_code_id);
  if v_code.status not in ('active', 'suspended') then
    perform referral_private.raise_error('code_final', v_code.status::text);
  end if;
  update referral.codes as c
  set status = 'active', reason = p_reason, updated_at = clock_timestamp()
  where c.id = p_code_id and c.status = 'suspended';
  select * into strict v_code from referral.codes as c where c.id = p_code_id;
  return v_code;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.reactivate_code from public;

grant execute on function referral_private.reactivate_code to authenticated, service_role;

-- Ends a code for good, and the grace of the referrer's earlier ones. An ended code is answered as it is; one in its
-- grace loses that. With `p_block` the referrer gets no code again.
create function referral_private.end_code(p_code_id uuid, p_reason text, p_block boolean)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes;
  v_violated text;
begin
  v_code := referral_private.lock_code_for_staff(p_code_id);
  if p_block then
    update referral.members as m
    set blocked_at = coalesce(m.blocked_at, clock_timestamp()), reason = p_reason
    where m.org_id = v_code.org_id and m.user_id = v_code.referrer_id;
  end if;
  if v_code.status in ('active', 'suspended') then
    if v_code.referrer_id is not null then
      perform referral_private.end_grace_of(v_code.org_id, v_code.referrer_id, p_reason);
    end if;
    update referral.codes as c
    set status = 'invalidated', deactivated_at = clock_timestamp(), deactivated_by = auth.uid(), reason = p_reason,
      updated_at = clock_timestamp()
    where c.id = p_code_id
    returning * into v_code;
  elsif v_code.redeemable_until > clock_timestamp() then
    update referral.codes as c
    set redeemable_until = clock_timestamp(), deactivated_by = auth.uid(), reason = p_reason, updated_at = clock_timestamp()
    where c.id = p_code_id
    returning * into v_code;
  end if;
  return v_code;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.end_code from public;

grant execute on function referral_private.end_code to authenticated, service_role;

-- Edits description, expires_at and max_uses; an ended code's description only. A limit on a code that had none counts
-- the redemptions there are; the row lock keeps others from being under way.
create function referral_private.update_code(p_code_id uuid, p_changes jsonb)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes;
  v_unknown text;
  v_violated text;
begin
  v_code := referral_private.lock_code_for_staff(p_code_id);
  if p_changes is null or jsonb_typeof(p_changes) <> 'object' then
    perform referral_private.raise_error('invalid_argument', 'changes');
  end if;
  select string_agg(key, ', ') into v_unknown
  from jsonb_object_keys(p_changes) as key
  where key <> all ('{description,expires_at,max_uses}'::text[]);
  if v_unknown is not null then
    perform referral_private.raise_error('invalid_argument', 'changes: ' || v_unknown);
  end if;
  if v_code.status not in ('active', 'suspended') and p_changes ?| '{expires_at,max_uses}'::text[] then
    perform referral_private.raise_error('code_final', v_code.status::text);
  end if;

  if p_changes ? 'description' then
    if jsonb_typeof(p_changes -> 'description') not in ('string', 'null') then
      perform referral_private.raise_error('invalid_argument', 'description');
    end if;
    v_code.description := p_changes ->> 'description';
  end if;
  if p_changes ? 'expires_at' then
    v_code.expires_at := (p_changes ->> 'expires_at')::timestamptz;
    if v_code.expires_at <= clock_timestamp() then
      perform referral_private.raise_error('invalid_argument', 'expires_at');
    end if;
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
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when invalid_text_representation or datetime_field_overflow or invalid_datetime_format or numeric_value_out_of_range
    or invalid_time_zone_displacement_value or invalid_parameter_value
  then
    perform referral_private.raise_error('invalid_argument', 'changes');
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.update_code from public;

grant execute on function referral_private.update_code to authenticated, service_role;

-- The quota of a code whose limit changes: none without a limit, the one it has with the new limit, or a new one that
-- counts the redemptions of the code and of those that were rotated into it. A predecessor in its grace shares it. Raises
-- `invalid_argument` for a limit above the cap or below what is used.
create function referral_private.change_quota(p_code referral.codes, p_max_uses int)
returns uuid
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_quota_id uuid;
  v_predecessor_ids uuid[];
begin
  if p_code.quota_id is not null and p_max_uses is not null then
    update referral.code_quotas as q
    set max_uses = p_max_uses
    from referral.organisations as o
    where q.org_id = p_code.org_id and q.quota_id = p_code.quota_id and o.id = q.org_id and p_max_uses <= o.max_uses_cap;
    if not found then
      perform referral_private.raise_error('invalid_argument', 'max_uses');
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
  perform from referral.codes as c where c.id = any (v_predecessor_ids) and c.redeemable_until > clock_timestamp() for no key update;
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

revoke execute on function referral_private.change_quota from public;
