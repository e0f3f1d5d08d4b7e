-- A code given at sign-up, in the user's metadata as `referral_code`: both parts are opt-in, docs/sign-up.md says how.
-- The trigger only notes the claim and can break no sign-up; the claim is redeemed at the person's first call.

create table referral_private.sign_up_claims (
  user_id uuid not null,
  code text not null,
  claimed_at timestamptz not null default clock_timestamp(),
  constraint sign_up_claims_pkey primary key (user_id),
  constraint sign_up_claims_code_is_128_at_most check (length(code) <= 128)
);

create index sign_up_claims_by_age on referral_private.sign_up_claims (claimed_at);

alter table referral_private.sign_up_claims enable row level security;

-- The code in a user's metadata, which may also be a JSON text in a JSON string; null where there is none, and where the
-- text is no JSON that Postgres can hold.
create function referral_private.code_in_metadata(p_metadata jsonb)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_metadata jsonb := p_metadata;
begin
  if jsonb_typeof(p_metadata) = 'string' then
    v_metadata := (p_metadata #>> '{}')::jsonb;
  end if;
  return left(case when jsonb_typeof(v_metadata) = 'object' then v_metadata ->> 'referral_code' end, 128);
exception
  when invalid_text_representation or untranslatable_character or numeric_value_out_of_range or statement_too_complex then
    return null;
end
$$;

revoke execute on function referral_private.code_in_metadata from public;

-- For a trigger after insert on auth.users.
create function referral_private.note_sign_up_code()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  insert into referral_private.sign_up_claims (user_id, code)
  select new.id, code
  from referral_private.code_in_metadata(new.raw_user_meta_data) as code
  where code <> ''
  on conflict do nothing;
  return null;
end
$$;

revoke execute on function referral_private.note_sign_up_code from public;

-- Redeems the code that the caller gave at sign-up; without a claim there is no row. A refusal that may pass is raised as
-- redeem_code raises it, and the claim stays for another try; any other ends the claim, and there is no row.
create function referral_private.redeem_sign_up_code()
returns setof referral.redeemed_code
language plpgsql
volatile
security definer
set search_path = ''
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
      if v_refusal::json ->> 'code' in ('busy', 'rate_limited', 'code_suspended', 'program_inactive') then
        raise;
      end if;
  end;
  delete from referral_private.sign_up_claims as c where c.user_id = v_user_id;
end
$$;

revoke execute on function referral_private.redeem_sign_up_code from public;

grant execute on function referral_private.redeem_sign_up_code to authenticated;

-- Removes claims of people who did not come back within 90 days, at most `p_limit`: for any scheduler.
create function referral_private.forget_sign_up_claims(p_limit int)
returns int
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_removed int;
begin
  delete from referral_private.sign_up_claims as c
  using (
    select d.user_id from referral_private.sign_up_claims as d
    where d.claimed_at < clock_timestamp() - interval '90 days'
    limit greatest(p_limit, 0)
    for update skip locked
  ) as past
  where c.user_id = past.user_id;
  get diagnostics v_removed = row_count;
  return v_removed;
end
$$;

revoke execute on function referral_private.forget_sign_up_claims from public;

grant execute on function referral_private.forget_sign_up_claims to service_role;

-- A `before_user_created` hook of Supabase Auth that lets nobody sign up without a redeemable code. People invited
-- through OAuth carry no metadata at sign-up, so with this hook they sign up by e-mail.
create function referral_private.require_code_at_sign_up(event jsonb)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_code text := referral_private.code_in_metadata(event -> 'user' -> 'user_metadata');
begin
  if exists (select from referral_private.resolve_code(v_code)) then
    return '{}';
  end if;
  return jsonb_build_object(
    'error', jsonb_build_object('http_code', 403, 'message', 'A valid referral code is needed to sign up.')
  );
end
$$;

revoke execute on function referral_private.require_code_at_sign_up from public;
