-- Redeeming in the conditional: the same rules, and nothing written.

-- Says before redeeming whether the caller could: what a link shows of the code, or the reason why not. To whoever is
-- not signed in with an account it answers as resolve_code does, which is the same for every unredeemable code.
create function referral_private.validate_code(p_code text)
returns setof referral.resolved_code
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := auth.uid();
  v_code referral.codes;
begin
  if v_user_id is null or coalesce((auth.jwt() ->> 'is_anonymous')::boolean, false) then
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
  if exists (
    select from referral.redemptions as r
    where r.org_id = v_code.org_id and r.program_id = v_code.program_id
      and r.referee_id = v_code.referrer_id and r.referrer_id = v_user_id
  ) then
    perform referral_private.raise_error('mutual_referral');
  end if;
  return query select r.* from referral_private.resolve_code(p_code) as r;
  if not found then
    perform referral_private.raise_error('code_limit_reached');
  end if;
end
$$;

revoke execute on function referral_private.validate_code from public;

grant execute on function referral_private.validate_code to anon, authenticated, service_role;
