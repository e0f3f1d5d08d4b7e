-- Whether a person can redeem a code: the same rules for validating and for redeeming.

-- Where the terms are for new users only, the user must exist and be new enough. Raises `new_users_only`.
create function referral_private.require_new_user(p_user_id uuid, p_terms jsonb)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_terms ? 'new_users_only_days' and not exists (
    select from auth.users as u
    where u.id = p_user_id
      and u.created_at >= clock_timestamp() - (p_terms ->> 'new_users_only_days')::int * interval '24 hours'
  ) then
    perform referral_private.raise_error('new_users_only');
  end if;
end
$$;

-- The version of the terms under which this person can redeem the code now. Raises `self_referral`, `new_users_only`,
-- or why nobody can redeem it: `program_inactive`, `code_expired`, `code_suspended`, `code_inactive`.
create function referral_private.require_redeemable(p_code referral.codes, p_user_id uuid)
returns int
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_switched_on boolean;
  v_refusal text;
  v_version int;
  v_terms jsonb;
begin
  if p_user_id in (p_code.referrer_id, p_code.beneficiary_id, p_code.created_by) then
    perform referral_private.raise_error('self_referral');
  end if;
  select o.active and p.active, t.version, t.terms
  into v_switched_on, v_version, v_terms
  from referral.programs as p
  join referral.organisations as o on o.id = p.org_id
  join referral.program_terms as t on t.org_id = p.org_id and t.program_id = p.id and t.valid_to is null
  where p.id = p_code.program_id;
  v_refusal := referral_private.code_refusal(
    p_code.status, p_code.expires_at, p_code.redeemable_until, v_switched_on
  );
  if v_refusal is not null then
    perform referral_private.raise_error(v_refusal);
  end if;
  if v_terms ? 'new_users_only_days' then
    perform referral_private.require_new_user(p_user_id, v_terms);
  end if;
  return v_version;
end
$$;

create function referral_private.validate_code(p_code text)
returns setof referral.resolved_code
language plpgsql
stable
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id uuid := auth.uid();
  v_code referral.codes;
begin
  if v_user_id is null or referral_private.is_anonymous() then
    return query select r.* from referral_private.resolve_code(p_code) as r;
    return;
  end if;
  if referral_private.normalise_code(p_code) is null then
    perform referral_private.raise_error('invalid_code');
  end if;
  select * into v_code from referral.codes as c where c.code_key = referral_private.normalise_code(p_code);
  if not found then
    perform referral_private.raise_error('code_not_found');
  end if;
  if exists (
    select from referral.redemptions as r
    where r.org_id = v_code.org_id and r.program_id = v_code.program_id and r.referee_id = v_user_id
  ) then
    perform referral_private.raise_error('already_redeemed');
  end if;
  perform referral_private.require_redeemable(v_code, v_user_id);
  return query select r.* from referral_private.resolve_code(p_code) as r;
  if not found then
    perform referral_private.refuse_use(v_code);
  end if;
end
$$;

comment on function referral_private.validate_code is
  'public: Returns what a link shows of a code if the caller could redeem it, and raises the reason if not. A person who
has redeemed this code gets already_redeemed too. Only redeem_code raises mutual_referral: here it would tell who has
redeemed. Without a signed-in person it returns what resolve_code returns.

group: Redeem a code
code: the text as typed
callers: anyone
errors: self_referral, new_users_only, code_not_found, program_inactive, code_suspended, code_inactive, code_expired,
  code_limit_reached, code_uses_reserved, already_redeemed, invalid_code
timeout: 5s';

grant execute on function referral_private.validate_code to anon, authenticated, service_role;
