-- What a reader sees of a code: its referrer and staff in any status, everybody else while it can be redeemed.

-- Why a code of this kind cannot be redeemed now, as an error code; null where it can. This is the one rule for links,
-- validation and redemption.
create function referral_private.code_refusal(
  p_status referral.code_status,
  p_expires_at timestamptz,
  p_redeemable_until timestamptz,
  p_switched_on boolean
)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
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

-- Whether a limited code has a use that is not reserved for others than this person.
create function referral_private.has_free_use(p_org_id uuid, p_quota_id uuid, p_chain_id uuid, p_user_id uuid)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from referral.code_quotas as q
    where q.org_id = p_org_id and q.quota_id = p_quota_id
      and q.used + referral_private.reserved_uses(p_org_id, p_chain_id, p_user_id) < q.max_uses
  );
end
$$;

create function referral_private.get_active_code(p_org_id uuid, p_referrer_id uuid default null)
returns setof referral.codes
language plpgsql
stable
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_referrer_id uuid := referral_private.acting_for(p_org_id, p_referrer_id);
begin
  return query
  select c.*
  from referral.codes as c
  where c.org_id = p_org_id and c.referrer_id = v_referrer_id and c.status = 'active'
    and (referral_private.as_of_now(c)).status = 'active';
end
$$;

comment on function referral_private.get_active_code is
  'public: Returns the active code of a referrer, or no row.

group: Have a code
org_id: the organisation
referrer_id: the caller unless given
callers: the referrer; coordinators, admins and the operator for any member
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument
timeout: 5s';

grant execute on function referral_private.get_active_code to authenticated, service_role;

create function referral_private.find_code(p_code text)
returns setof referral.codes
language plpgsql
stable
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code referral.codes;
begin
  select * into v_code from referral.codes as c where c.code_key = referral_private.normalise_code(p_code);
  if v_code.referrer_id = auth.uid() or referral_private.acts_with_role(v_code.org_id, 'coordinator') then
    return query select c.* from referral_private.as_of_now(v_code) as c where c.id is not null;
  end if;
end
$$;

comment on function referral_private.find_code is
  'public: Returns a code in any status, in any case, spacing and confusable spelling. No row if the text is no code, or
if the caller is neither its referrer nor staff of its organisation.

group: Have a code
code: the text as typed
callers: the referrer, coordinators, admins and the operator
errors: none
timeout: 5s';

grant execute on function referral_private.find_code to authenticated, service_role;

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

create function referral_private.resolve_code(p_code text)
returns setof referral.resolved_code
language plpgsql
stable
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select c.code, o.name, p.name, m.display_name,
    o.web_destination, o.ios_destination, o.android_destination, o.android_package, o.link_origin
  from referral.codes as c
  join referral.organisations as o on o.id = c.org_id
  join referral.programs as p on p.id = c.program_id
  left join referral.members as m on m.org_id = c.org_id and m.user_id = c.referrer_id and m.public_name
  where c.code_key = referral_private.normalise_code(p_code)
    and referral_private.code_refusal(c.status, c.expires_at, c.redeemable_until, o.active and p.active) is null
    and (
      c.quota_id is null
      or referral_private.has_free_use(c.org_id, c.quota_id, coalesce(c.chain_id, c.id), auth.uid())
    );
end
$$;

comment on function referral_private.resolve_code is
  'public: Returns what anyone may know of a redeemable code: the code as shown, names, destinations, and the
organisation''s own link origin. No row for any other code, whatever the reason.

group: Follow a link
code: the text as typed
callers: anyone
errors: none
timeout: 5s';

grant execute on function referral_private.resolve_code to anon, authenticated, service_role;

-- A code for its referrer, staff and the operator. Raises `code_not_found` for everyone else, `not_signed_in`,
-- `anonymous_user`.
create function referral_private.require_readable_code(p_code_id uuid)
returns referral.codes
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code referral.codes;
begin
  if not referral_private.is_operator() then
    perform referral_private.require_person();
  end if;
  select * into v_code from referral.codes as c where c.id = p_code_id;
  if v_code.id is null or not (
    referral_private.acts_with_role(v_code.org_id, 'coordinator')
    or v_code.referrer_id is not distinct from auth.uid()
  ) then
    perform referral_private.raise_error('code_not_found');
  end if;
  return v_code;
end
$$;
