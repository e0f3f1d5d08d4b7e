-- A code given at sign-up, in the user's metadata as `referral_code`: both parts are opt-in, docs/sign-up.md says
-- how. The trigger only notes the claim and can break no sign-up; the claim is redeemed at the person's first call.
create table referral_private.sign_up_claims (
  user_id uuid not null,
  code text not null,
  claimed_at timestamptz not null default clock_timestamp(),
  constraint sign_up_claims_pkey primary key (user_id),
  constraint sign_up_claims_code_is_128_at_most check (length(code) <= 128)
);

create index sign_up_claims_by_age on referral_private.sign_up_claims (claimed_at);

alter table referral_private.sign_up_claims enable row level security;

-- The code in a user's metadata, which may also be a JSON text in a JSON string; null where there is none, and where
-- the text is no JSON that Postgres can hold. A link or a message is read as the client's `redeem` reads it.
create function referral_private.code_in_metadata(p_metadata jsonb)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_metadata jsonb := p_metadata;
begin
  if jsonb_typeof(p_metadata) = 'string' then
    v_metadata := (p_metadata #>> '{}')::jsonb;
  end if;
  return referral_private.code_in_text(
    case when jsonb_typeof(v_metadata) = 'object' then v_metadata ->> 'referral_code' end
  );
exception
  when invalid_text_representation or untranslatable_character or numeric_value_out_of_range
    or statement_too_complex
  then
    return null;
end
$$;

-- For a trigger after insert on auth.users, and after update of is_anonymous: an anonymous user who becomes a permanent
-- one signs up then. The code that they give at that time counts before one that they gave at first.
create function referral_private.note_sign_up_code()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Nested, because older versions of Auth have no anonymous users, and a sign-up must not ask for their column.
  if tg_op = 'UPDATE' then
    if not old.is_anonymous or new.is_anonymous then
      return null;
    end if;
  end if;
  insert into referral_private.sign_up_claims as c (user_id, code)
  select new.id, code
  from referral_private.code_in_metadata(new.raw_user_meta_data) as code
  where code <> ''
  on conflict on constraint sign_up_claims_pkey do update
  set code = excluded.code, claimed_at = clock_timestamp();
  return null;
end
$$;

create function referral_private.purge_sign_up_claims(p_max_rows int default 1000)
returns int
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
-- The statistics of a table that was emptied mislead: rows are found by an index, and deleted by their place.
set enable_seqscan = off
as $$
declare
  -- Constants, because clock_timestamp() in a condition keeps Postgres from using an index.
  v_now constant timestamptz := clock_timestamp();
  v_before constant timestamptz := referral_private.later(v_now, interval '-90 days');
  v_claims int;
  v_reservations int;
begin
  delete from referral_private.sign_up_claims as c
  where c.ctid = any (
    array(
      select d.ctid from referral_private.sign_up_claims as d
      where d.claimed_at < v_before
      limit greatest(p_max_rows, 0)
      for update skip locked
    )
  );
  get diagnostics v_claims = row_count;
  delete from referral_private.sign_up_reservations as r
  where r.ctid = any (
    array(
      select d.ctid from referral_private.sign_up_reservations as d
      where d.expires_at <= v_now
      limit greatest(p_max_rows - v_claims, 0)
      for update skip locked
    )
  );
  get diagnostics v_reservations = row_count;
  return v_claims + v_reservations;
end
$$;

comment on function referral_private.purge_sign_up_claims is
  'public: Deletes codes given at sign-up by people who did not come back within 90 days, and uses of limited codes that
sign-ups reserved more than an hour ago, which do not count any more. Returns how many. Call again while that is
max_rows.

group: Run jobs
max_rows: how many rows at most in this call
callers: the operator
errors: none
timeout: 60s';

grant execute on function referral_private.purge_sign_up_claims to service_role;

-- A `before_user_created` hook of Supabase Auth that lets nobody sign up without a redeemable code, and reserves a use
-- of a limited code for the new user's id. People invited through OAuth carry no metadata at sign-up, so with this hook
-- they sign up by e-mail. Auth ends a hook after two seconds.
create function referral_private.require_code_at_sign_up(event jsonb)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1500ms'
as $$
declare
  v_key text := referral_private.normalise_code(
    referral_private.code_in_metadata(event -> 'user' -> 'user_metadata')
  );
  v_code referral.codes;
begin
  select c.* into v_code
  from referral.codes as c
  join referral.programs as p on p.id = c.program_id
  join referral.organisations as o on o.id = c.org_id
  where c.code_key = v_key
    and referral_private.code_refusal(c.status, c.expires_at, c.redeemable_until, o.active and p.active) is null
  for share of c;
  if found and referral_private.reserve_use(v_code, (event -> 'user' ->> 'id')::uuid) then
    return '{}';
  end if;
  return jsonb_build_object(
    'error', jsonb_build_object(
      'http_code', 403,
      'message', case
        when found and referral_private.has_uses(v_code)
          then 'Other sign-ups have reserved the uses of this code. Try again in an hour.'
        else 'A valid referral code is needed to sign up.'
      end
    )
  );
exception
  when lock_not_available then
    return jsonb_build_object(
      'error', jsonb_build_object('http_code', 503, 'message', 'The database is busy. Try again.')
    );
end
$$;
