-- Campaign codes from rows of a file: all of them, or none.

-- What is wrong with a row, as an error code; null where nothing is. `p_taken` are keys that cannot be chosen.
create function referral_private.row_refusal(p_row jsonb, p_max_uses_cap int, p_taken text[])
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key text := referral_private.normalise_code(p_row ->> 'code');
begin
  return case
    when jsonb_typeof(p_row) <> 'object' or p_row - '{code,max_uses,expires_at,description}'::text[] <> '{}'
      then 'invalid_argument'
    when v_key is null then 'invalid_code'
    when referral_private.is_reserved(v_key) then 'code_reserved'
    when v_key = any (p_taken) then 'code_taken'
    when exists (select from referral.codes as c where c.code_key = v_key) then 'code_taken'
    when length(p_row ->> 'description') > 500 then 'invalid_argument'
    when not coalesce(referral_private.is_whole(nullif(p_row -> 'max_uses', 'null'), 1, p_max_uses_cap), true)
      then 'invalid_argument'
    when not coalesce(jsonb_typeof(p_row -> 'description') in ('string', 'null'), true) then 'invalid_argument'
    when (p_row ->> 'expires_at')::timestamptz <= clock_timestamp() then 'invalid_argument'
    when not isfinite((p_row ->> 'expires_at')::timestamptz) then 'invalid_argument'
  end;
exception
  when data_exception then
    return 'invalid_argument';
end
$$;

-- The normal forms of the texts in these rows.
create function referral_private.keys_of_rows(p_rows jsonb)
returns text[]
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select referral_private.normalise_code(r.value ->> 'code') from jsonb_array_elements(p_rows) as r (value)
  );
end
$$;

-- The rows that cannot be taken, by number with their error code; null where all can.
create function referral_private.refused_rows(p_rows jsonb, p_max_uses_cap int, p_taken text[])
returns jsonb
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select jsonb_agg(jsonb_build_object('row', r.place, 'code', r.refusal) order by r.place)
    from (
      select given.place, coalesce(
        referral_private.row_refusal(given.value, p_max_uses_cap, p_taken),
        case when row_number() over (
          partition by referral_private.normalise_code(given.value ->> 'code') order by given.place
        ) > 1 then 'code_taken' end
      ) as refusal
      from jsonb_array_elements(p_rows) with ordinality as given (value, place)
    ) as r
    where r.refusal is not null
  );
end
$$;

-- The operator imports codes from elsewhere, which purchases may carry already: these purchases are settled. Staff are
-- refused such texts.
create function referral_private.import_codes(p_org_id uuid, p_rows jsonb, p_program_id uuid default null)
returns setof referral.code_batch
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '10s'
set timezone = 'UTC'
set datestyle = 'ISO, MDY'
as $$
declare
  v_program_id uuid;
  v_batch_id uuid := gen_random_uuid();
  v_stripe_account text;
  v_taken text[] := '{}';
  v_refused jsonb;
  v_made int;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if jsonb_typeof(p_rows) is distinct from 'array' or jsonb_array_length(p_rows) not between 1 and 10000 then
    perform referral_private.raise_error('invalid_argument', 'rows');
  end if;
  if referral_private.is_operator() then
    v_stripe_account := referral_private.lock_stripe_account_of(p_org_id);
  else
    perform referral_private.ready_to_choose(p_org_id);
    v_taken := referral_private.carried_keys(referral_private.keys_of_rows(p_rows));
  end if;
  v_program_id := (referral_private.program_for_code(p_org_id, p_program_id)).id;
  v_refused := referral_private.refused_rows(
    p_rows, (select o.max_uses_cap from referral.organisations as o where o.id = p_org_id), v_taken
  );
  if v_refused is not null then
    perform referral_private.raise_error('invalid_rows', v_refused::text);
  end if;
  v_made := referral_private.insert_campaign_codes(
    p_org_id, v_program_id, v_batch_id,
    array(
      select (
        referral_private.show_code(r.value ->> 'code'), (r.value ->> 'max_uses')::int,
        (r.value ->> 'expires_at')::timestamptz, r.value ->> 'description'
      )::referral_private.new_campaign_code
      from jsonb_array_elements(p_rows) as r (value)
    )
  );
  -- Another session took one of the texts meanwhile.
  if v_made < jsonb_array_length(p_rows) then
    perform referral_private.raise_error('busy');
  end if;
  if v_stripe_account is not null then
    perform referral_private.settle_keys(
      v_stripe_account, referral_private.keys_of_rows(p_rows), clock_timestamp() - interval '2 minutes',
      'codes imported'
    );
  end if;
  return query select v_batch_id, v_made;
end
$$;

comment on function referral_private.import_codes is
  'public: Takes campaign codes from rows: all, or none where one cannot be taken; details then lists the rows by
number. A text that a purchase of the last 400 days carries is code_taken. The operator''s import accepts it, and
settles these purchases.

group: Manage codes
org_id: the organisation
rows: up to 10,000 objects {code, max_uses, expires_at, description}; a time without a zone is in UTC
program_id: the default program unless given
callers: coordinators, admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, program_not_found,
  program_inactive, invalid_argument, invalid_rows, busy
returns: a row
timeout: 60s';

grant execute on function referral_private.import_codes to authenticated, service_role;
