-- The code given at sign-up is redeemed at the person's first call.

-- A refusal that may pass is raised as redeem_code raises it, and the claim is kept for another try; a final refusal
-- ends the claim, and there is no row.
create function referral_private.redeem_sign_up_code()
returns setof referral.redeemed_code
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id uuid := referral_private.require_person();
  v_code text;
  v_refusal text;
begin
  select c.code into v_code from referral_private.sign_up_claims as c where c.user_id = v_user_id for update;
  if v_code is null then
    return;
  end if;
  begin
    return query select r.* from referral_private.redeem_code(v_code, null, 'typed', 'sign_up') as r;
  exception
    when sqlstate 'PGRST' then
      get stacked diagnostics v_refusal = message_text;
      if referral_private.is_final_refusal(v_refusal::json ->> 'code') is not true then
        raise;
      end if;
  end;
  delete from referral_private.sign_up_claims as c where c.user_id = v_user_id;
  delete from referral_private.sign_up_reservations as r where r.user_id = v_user_id;
end
$$;

comment on function referral_private.redeem_sign_up_code is
  'public: Redeems the code that the caller gave at sign-up. No row if there is none, or none that could ever be
redeemed. After an error the code is kept for another try. A use that require_code_at_sign_up reserved becomes the use
of this redemption, or is free again.

group: Redeem a code
callers: signed-in people
errors: not_signed_in, anonymous_user, program_inactive, code_suspended, code_uses_reserved, rate_limited, busy
timeout: 10s';

grant execute on function referral_private.redeem_sign_up_code to authenticated;
