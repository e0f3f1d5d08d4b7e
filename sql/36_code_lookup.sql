-- What a reader sees of a code: its owner and staff in any status, everybody else while it can be redeemed.

-- Past its time a code is answered as expired, also before a job or a writer has stored that. (Whoever reads the table
-- itself compares expires_at, as the client does.)
create function referral_private.as_of_now(p_code referral.codes)
returns referral.codes
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if p_code.status in ('active', 'suspended') and p_code.expires_at <= clock_timestamp() then
    p_code.status := 'expired';
    p_code.deactivated_at := p_code.expires_at;
  end if;
  return p_code;
end
$$;

revoke execute on function referral_private.as_of_now from public;

create function referral_private.get_active_code(p_org_id uuid, p_referrer_id uuid)
returns referral.codes
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_referrer_id uuid := referral_private.acting_for(p_org_id, p_referrer_id);
  v_code referral.codes;
begin
  select * into v_code
  from referral.codes as c
  where c.org_id = p_org_id and c.referrer_id = v_referrer_id and c.status = 'active'
    and (c.expires_at is null or c.expires_at > clock_timestamp());
  return v_code;
end
$$;

revoke execute on function referral_private.get_active_code from public;

grant execute on function referral_private.get_active_code to authenticated, service_role;

-- A code in any status, for its owner, staff and the operator; nothing for anyone else.
create function referral_private.find_code(p_code text)
returns referral.codes
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_code referral.codes;
begin
  select * into v_code from referral.codes as c where c.code_key = referral_private.normalise_code(p_code);
  if v_code.referrer_id = auth.uid() or referral_private.acts_with_role(v_code.org_id, 'coordinator') then
    return referral_private.as_of_now(v_code);
  end if;
  return null;
end
$$;

revoke execute on function referral_private.find_code from public;

grant execute on function referral_private.find_code to authenticated, service_role;

-- Why a code cannot be redeemed now, as an error code; null where it can.
create function referral_private.refusal_of(
  p_status referral.code_status,
  p_expires_at timestamptz,
  p_redeemable_until timestamptz,
  p_switched_on boolean
)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return case
    when not p_switched_on then 'program_inactive'
    when p_status = 'expired' or p_expires_at <= clock_timestamp() then 'code_expired'
    when p_status = 'active' or p_status = 'rotated' and p_redeemable_until > clock_timestamp() then null
    when p_status = 'suspended' then 'code_suspended'
    else 'code_inactive'
  end;
end
$$;

revoke execute on function referral_private.refusal_of from public;

create type referral.resolved_code as (
  code text,
  organisation_name text,
  program_name text,
  referrer_name text,
  web_destination text,
  ios_destination text,
  android_destination text,
  android_package text,
  link_origin text
);

-- What anyone may know of a redeemable code; nothing at all of any other, whatever the reason.
create function referral_private.resolve_code(p_code text)
returns setof referral.resolved_code
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query
  select c.code, o.name, p.name, m.display_name,
    o.web_destination, o.ios_destination, o.android_destination, o.android_package, o.link_origin
  from referral.codes as c
  join referral.organisations as o on o.id = c.org_id
  join referral.programs as p on p.id = c.program_id
  left join referral.code_quotas as q on q.org_id = c.org_id and q.quota_id = c.quota_id
  left join referral.members as m on m.org_id = c.org_id and m.user_id = c.referrer_id and m.public_name
  where c.code_key = referral_private.normalise_code(p_code)
    and referral_private.refusal_of(c.status, c.expires_at, c.redeemable_until, o.active and p.active) is null
    and (q.used is null or q.used < q.max_uses);
end
$$;

revoke execute on function referral_private.resolve_code from public;

grant execute on function referral_private.resolve_code to anon, authenticated, service_role;
