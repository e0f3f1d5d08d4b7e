-- What a referee learns of their redemption: nothing of the referrer, the beneficiary or the creator.
create type referral.redeemed_code as (
  redemption_id uuid,
  org_id uuid,
  program_id uuid,
  code text,
  status referral.redemption_status,
  redeemed_at timestamptz
);

create function referral_private.my_redemption(p_org_id uuid, p_program_id uuid default null)
returns setof referral.redeemed_code
language plpgsql
stable
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id uuid := referral_private.require_person();
begin
  if p_org_id is null then
    perform referral_private.raise_error('invalid_argument', 'org_id: required');
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

comment on function referral_private.my_redemption is
  'public: Returns the caller''s redemption in a program, or no row.

group: Redeem a code
org_id: the organisation
program_id: the default program unless given
callers: signed-in people
errors: not_signed_in, anonymous_user, invalid_argument
timeout: 5s';

grant execute on function referral_private.my_redemption to authenticated;

create function referral_private.has_redeemed(p_code text)
returns boolean
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id uuid := referral_private.require_person();
begin
  return exists (
    -- A code can have very many redemptions, a person has few.
    select from (
      select r.org_id, r.code_id from referral.redemptions as r
      where r.referee_id = v_user_id
      offset 0
    ) as r
    join referral.codes as c on c.org_id = r.org_id and c.id = r.code_id
    where c.code_key = referral_private.normalise_code(p_code)
  );
end
$$;

comment on function referral_private.has_redeemed is
  'public: Returns whether the caller has redeemed this very code.

group: Redeem a code
code: the text as typed
callers: signed-in people
errors: not_signed_in, anonymous_user
timeout: 5s';

grant execute on function referral_private.has_redeemed to authenticated;
