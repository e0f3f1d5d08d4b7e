-- Who has used which code: for the referee, the referrer, and staff. Lists come newest first, in pages: `p_after` is the
-- redemption that ended the page before, and a page holds 100 rows unless asked for less or more, 1,000 at most.

create function referral_private.page_size(p_wanted int)
returns int
language sql
immutable
security invoker
set search_path = ''
as $$
  select least(greatest(coalesce(p_wanted, 100), 1), 1000);
$$;

revoke execute on function referral_private.page_size from public;

-- When the redemption that ended the page before was made; the end of time for the first page.
create function referral_private.page_start(p_org_id uuid, p_after uuid)
returns timestamptz
language sql
stable
security invoker
set search_path = ''
as $$
  select
    case
      when p_after is null then 'infinity'
      else (select r.redeemed_at from referral.redemptions as r where r.org_id = p_org_id and r.id = p_after)
    end;
$$;

revoke execute on function referral_private.page_start from public;

create function referral_private.my_referrals(p_org_id uuid, p_after uuid, p_page_size int)
returns table (
  redemption_id uuid,
  status referral.redemption_status,
  redeemed_at timestamptz,
  confirmed_at timestamptz,
  channel text
)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := referral_private.require_person();
begin
  if p_org_id is null then
    perform referral_private.raise_error('invalid_argument', 'org_id');
  end if;
  return query
  select r.id, r.status, r.redeemed_at, r.confirmed_at, r.channel
  from referral.redemptions as r
  where r.referrer_id = v_user_id and r.org_id = p_org_id
    and (r.redeemed_at, r.id) < (referral_private.page_start(p_org_id, p_after), coalesce(p_after, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
  order by r.redeemed_at desc, r.id desc
  limit referral_private.page_size(p_page_size);
end
$$;

revoke execute on function referral_private.my_referrals from public;

grant execute on function referral_private.my_referrals to authenticated;

-- The caller's own redemption in a program, the organisation's default unless given.
create function referral_private.my_redemption(p_org_id uuid, p_program_id uuid)
returns setof referral.redeemed_code
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := referral_private.require_person();
begin
  if p_org_id is null then
    perform referral_private.raise_error('invalid_argument', 'org_id');
  end if;
  return query
  select r.id, r.org_id, r.program_id, c.code, r.status, r.redeemed_at
  from referral.redemptions as r
  join referral.codes as c on c.org_id = r.org_id and c.id = r.code_id
  join referral.programs as p on p.id = r.program_id
  where r.referee_id = v_user_id and r.org_id = p_org_id
    and case when p_program_id is null then p.is_default else p.id = p_program_id end;
end
$$;

revoke execute on function referral_private.my_redemption from public;

grant execute on function referral_private.my_redemption to authenticated;

-- Has the caller used this very code?
create function referral_private.has_redeemed(p_code text)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := referral_private.require_person();
begin
  return exists (
    select from referral.codes as c
    join referral.redemptions as r on r.org_id = c.org_id and r.code_id = c.id and r.referee_id = v_user_id
    where c.code_key = referral_private.normalise_code(p_code)
  );
end
$$;

revoke execute on function referral_private.has_redeemed from public;

grant execute on function referral_private.has_redeemed to authenticated;

create function referral_private.usage_for_code(p_code_id uuid, p_after uuid, p_page_size int)
returns setof referral.redemptions
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_org_id uuid;
begin
  select c.org_id into v_org_id from referral.codes as c where c.id = p_code_id;
  if not coalesce(referral_private.acts_with_role(v_org_id, 'coordinator'), false) or v_org_id is null then
    perform referral_private.raise_error('code_not_found');
  end if;
  return query
  select r.*
  from referral.redemptions as r
  where r.org_id = v_org_id and r.code_id = p_code_id
    and (r.redeemed_at, r.id) < (referral_private.page_start(v_org_id, p_after), coalesce(p_after, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
  order by r.redeemed_at desc, r.id desc
  limit referral_private.page_size(p_page_size);
end
$$;

revoke execute on function referral_private.usage_for_code from public;

grant execute on function referral_private.usage_for_code to authenticated, service_role;

create function referral_private.usage_for_user(p_org_id uuid, p_user_id uuid, p_after uuid, p_page_size int)
returns setof referral.redemptions
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if p_user_id is null then
    perform referral_private.raise_error('invalid_argument', 'user_id');
  end if;
  return query
  select r.*
  from referral.redemptions as r
  where r.org_id = p_org_id and r.referee_id = p_user_id
    and (r.redeemed_at, r.id) < (referral_private.page_start(p_org_id, p_after), coalesce(p_after, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
  order by r.redeemed_at desc, r.id desc
  limit referral_private.page_size(p_page_size);
end
$$;

revoke execute on function referral_private.usage_for_user from public;

grant execute on function referral_private.usage_for_user to authenticated, service_role;

-- How often a code was used, by how many, when last, and, for staff, by whom lately. The owner gets no identities.
create function referral_private.code_usage_stats(p_code_id uuid)
returns table (total_uses bigint, unique_users bigint, last_used timestamptz, recent_users uuid[])
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_code referral.codes;
  v_is_staff boolean;
begin
  select * into v_code from referral.codes as c where c.id = p_code_id;
  v_is_staff := coalesce(referral_private.acts_with_role(v_code.org_id, 'coordinator'), false) and v_code.id is not null;
  if v_code.id is null or not v_is_staff and v_code.referrer_id is distinct from referral_private.require_person() then
    perform referral_private.raise_error('code_not_found');
  end if;
  return query
  select count(*), count(distinct r.referee_id), max(r.redeemed_at), case
    when v_is_staff then array(
      select recent.referee_id
      from referral.redemptions as recent
      where recent.org_id = v_code.org_id and recent.code_id = p_code_id
      order by recent.redeemed_at desc, recent.id desc
      limit 10
    )
  end
  from referral.redemptions as r
  where r.org_id = v_code.org_id and r.code_id = p_code_id;
end
$$;

revoke execute on function referral_private.code_usage_stats from public;

grant execute on function referral_private.code_usage_stats to authenticated, service_role;

-- How often each of these codes was used, and how often it may be; at most 1,000, those of them that the caller may see.
create function referral_private.code_uses(p_code_ids uuid[])
returns table (code_id uuid, uses_count bigint, max_uses int)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_is_operator boolean := referral_private.is_operator();
begin
  if coalesce(cardinality(p_code_ids), 0) > 1000 then
    perform referral_private.raise_error('invalid_argument', 'code_ids');
  end if;
  if not v_is_operator then
    perform referral_private.require_person();
  end if;
  return query
  select c.id, (select count(*) from referral.redemptions as r where r.org_id = c.org_id and r.code_id = c.id), q.max_uses
  from referral.codes as c
  left join referral.code_quotas as q on q.org_id = c.org_id and q.quota_id = c.quota_id
  where c.id = any (p_code_ids)
    and (v_is_operator or c.referrer_id = auth.uid() or c.org_id in (select referral_private.orgs_with_role('coordinator')));
end
$$;

revoke execute on function referral_private.code_uses from public;

grant execute on function referral_private.code_uses to authenticated, service_role;
