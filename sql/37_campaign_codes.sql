-- Codes of the organisation's own, with no referrer: one at a time, in thousands, or from a file.

create function referral_private.create_campaign_code(
  p_org_id uuid,
  p_code text,
  p_program_id uuid,
  p_beneficiary_id uuid,
  p_max_uses int,
  p_expires_at timestamptz,
  p_description text
)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes;
  v_violated text;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if p_expires_at <= clock_timestamp() then
    perform referral_private.raise_error('invalid_argument', 'expires_at');
  end if;
  if auth.uid() is not null then
    perform referral_private.lock_member(p_org_id, auth.uid());
    perform referral_private.require_role(p_org_id, 'coordinator');
    perform referral_private.require_code_allowance(p_org_id, auth.uid());
  end if;
  v_code.id := gen_random_uuid();
  v_code.org_id := p_org_id;
  v_code.code := p_code;
  v_code.program_id := (referral_private.program_for_code(p_org_id, p_program_id)).id;
  v_code.beneficiary_id := p_beneficiary_id;
  v_code.expires_at := p_expires_at;
  v_code.description := p_description;
  v_code.rotation := 0;
  if p_max_uses is not null then
    v_code.quota_id := referral_private.create_quota(p_org_id, p_max_uses);
  end if;
  return referral_private.insert_code(v_code);
exception
  when unique_violation or check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.create_campaign_code from public;

grant execute on function referral_private.create_campaign_code to authenticated, service_role;

-- Draws up to 10,000 campaign codes at once; the batch is the handle to list them by. Strings are inserted in the order
-- of their normal form: two batches in different orders would deadlock.
create function referral_private.generate_codes(
  p_org_id uuid,
  p_count int,
  p_program_id uuid,
  p_max_uses int,
  p_expires_at timestamptz,
  p_description text
)
returns table (batch_id uuid, made int)
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '10s'
as $$
declare
  v_program_id uuid;
  v_batch_id uuid := gen_random_uuid();
  v_length int;
  v_made int := 0;
  v_inserted int;
  v_violated text;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if p_count is null or p_count not between 1 and 10000 then
    perform referral_private.raise_error('invalid_argument', 'count');
  end if;
  if p_expires_at <= clock_timestamp() then
    perform referral_private.raise_error('invalid_argument', 'expires_at');
  end if;
  if p_max_uses not between 1 and (select o.max_uses_cap from referral.organisations as o where o.id = p_org_id) then
    perform referral_private.raise_error('invalid_argument', 'max_uses');
  end if;
  v_program_id := (referral_private.program_for_code(p_org_id, p_program_id)).id;
  v_length := referral_private.drawn_length(p_org_id, v_program_id, p_max_uses is not null);

  for attempt in 1..20 loop
    with
      drawn as (
        select referral_private.draw_code(v_length) as string
        from generate_series(1, p_count - v_made)
      ),
      usable as (
        select d.string, case when p_max_uses is not null then gen_random_uuid() end as quota_id
        from drawn as d
        where not referral_private.is_reserved(referral_private.normalise_code(d.string))
      ),
      quotas as (
        insert into referral.code_quotas (org_id, quota_id, max_uses)
        select p_org_id, u.quota_id, p_max_uses from usable as u where u.quota_id is not null
      )
    insert into referral.codes (org_id, program_id, code, description, expires_at, quota_id, batch_id, created_by)
    select p_org_id, v_program_id, u.string, p_description, p_expires_at, u.quota_id, v_batch_id, auth.uid()
    from usable as u
    order by referral_private.normalise_code(u.string)
    on conflict on constraint codes_key_is_unique do nothing;
    get diagnostics v_inserted = row_count;
    v_made := v_made + v_inserted;
    if v_made = p_count then
      return query select v_batch_id, v_made;
      return;
    end if;
  end loop;
  perform referral_private.raise_error('busy');
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.generate_codes from public;

grant execute on function referral_private.generate_codes to authenticated, service_role;

-- What is wrong with a row of an import, as an error code; null where nothing is.
create function referral_private.row_refusal(p_row jsonb, p_max_uses_cap int)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_key text := referral_private.normalise_code(p_row ->> 'code');
begin
  return case
    when jsonb_typeof(p_row) <> 'object' or p_row - '{code,max_uses,expires_at,description}'::text[] <> '{}' then 'invalid_argument'
    when v_key is null then 'invalid_code'
    when referral_private.is_reserved(v_key) then 'code_reserved'
    when exists (select from referral.codes as c where c.code_key = v_key) then 'code_taken'
    when length(p_row ->> 'description') > 500 then 'invalid_argument'
    when not coalesce(referral_private.is_whole(nullif(p_row -> 'max_uses', 'null'), 1, p_max_uses_cap), true) then 'invalid_argument'
    when not coalesce(jsonb_typeof(p_row -> 'description') in ('string', 'null'), true) then 'invalid_argument'
    when (p_row ->> 'expires_at')::timestamptz <= clock_timestamp() then 'invalid_argument'
    when not isfinite((p_row ->> 'expires_at')::timestamptz) then 'invalid_argument'
  end;
exception
  when invalid_datetime_format or datetime_field_overflow or invalid_time_zone_displacement_value or invalid_parameter_value then
    return 'invalid_argument';
end
$$;

revoke execute on function referral_private.row_refusal from public;

-- Takes up to 10,000 campaign codes as rows of {code, max_uses, expires_at, description}: all of them, or, where one
-- cannot be taken, none; `invalid_rows` then lists in `details`, as JSON, the number of each such row and its error.
create function referral_private.import_codes(p_org_id uuid, p_rows jsonb, p_program_id uuid)
returns table (batch_id uuid, made int)
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '10s'
as $$
declare
  v_program_id uuid;
  v_batch_id uuid := gen_random_uuid();
  v_refused jsonb;
  v_made int;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if jsonb_typeof(p_rows) is distinct from 'array' or jsonb_array_length(p_rows) not between 1 and 10000 then
    perform referral_private.raise_error('invalid_argument', 'rows');
  end if;
  v_program_id := (referral_private.program_for_code(p_org_id, p_program_id)).id;

  select jsonb_agg(jsonb_build_object('row', g.place, 'code', g.refusal) order by g.place) into v_refused
  from (
    select given.place, coalesce(
      referral_private.row_refusal(given.value, o.max_uses_cap),
      case when row_number() over (partition by referral_private.normalise_code(given.value ->> 'code') order by given.place) > 1 then 'code_taken' end
    ) as refusal
    from jsonb_array_elements(p_rows) with ordinality as given (value, place)
    cross join referral.organisations as o
    where o.id = p_org_id
  ) as g
  where g.refusal is not null;
  if v_refused is not null then
    perform referral_private.raise_error('invalid_rows', v_refused::text);
  end if;

  with
    rows as (
      select given.value, case when given.value ->> 'max_uses' is not null then gen_random_uuid() end as quota_id
      from jsonb_array_elements(p_rows) as given (value)
    ),
    quotas as (
      insert into referral.code_quotas (org_id, quota_id, max_uses)
      select p_org_id, r.quota_id, (r.value ->> 'max_uses')::int from rows as r where r.quota_id is not null
    )
  insert into referral.codes (org_id, program_id, code, description, expires_at, quota_id, batch_id, created_by)
  select p_org_id, v_program_id, referral_private.show_code(r.value ->> 'code'), r.value ->> 'description',
    (r.value ->> 'expires_at')::timestamptz, r.quota_id, v_batch_id, auth.uid()
  from rows as r
  order by referral_private.normalise_code(r.value ->> 'code')
  on conflict on constraint codes_key_is_unique do nothing;
  get diagnostics v_made = row_count;
  -- Somebody took one of the strings meanwhile.
  if v_made < jsonb_array_length(p_rows) then
    perform referral_private.raise_error('busy');
  end if;
  return query select v_batch_id, v_made;
exception
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.import_codes from public;

grant execute on function referral_private.import_codes to authenticated, service_role;
