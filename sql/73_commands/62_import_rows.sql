-- The rows of an import: what is wrong with each, and which code it makes.

-- What is wrong in a row: the column, null for the row as a whole, the error code, and what is expected instead.
create type referral_private.row_fault as (place bigint, column_name text, code text, details text);

-- What is wrong with a row by itself. Rows are checked before a lock is taken.
create function referral_private.faults_of_row(p_organisation referral.organisations, p_place bigint, p_row jsonb)
returns setof referral_private.row_fault
language plpgsql
stable
rows 1
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_columns constant text[] := '{code,max_uses,expires_at,description,beneficiary_id}';
  v_code constant text := case when jsonb_typeof(p_row -> 'code') in ('string', 'number') then p_row ->> 'code' end;
  v_word text;
  v_end timestamptz;
begin
  if jsonb_typeof(p_row) <> 'object' then
    return next (p_place, null, 'invalid_argument', 'not an object')::referral_private.row_fault;
    return;
  end if;
  return query
  select p_place, left(key, 100), 'invalid_argument', 'unknown column'
  from jsonb_object_keys(p_row) as key
  where key <> all (v_columns)
  limit 10;
  if referral_private.normalise_code(v_code) is null then
    return next (p_place, 'code', 'invalid_code', '3 to 32 letters and digits')::referral_private.row_fault;
  else
    v_word := referral_private.reserved_word_in(p_organisation.id, v_code);
    if v_word is not null then
      return next (p_place, 'code', 'code_reserved', v_word)::referral_private.row_fault;
    end if;
  end if;
  if not coalesce(
    referral_private.is_whole(nullif(p_row -> 'max_uses', 'null'), 1, p_organisation.max_uses_cap), true
  ) then
    return next (
      p_place, 'max_uses', 'invalid_argument', 'a whole number from 1 to ' || p_organisation.max_uses_cap
    )::referral_private.row_fault;
  end if;
  if jsonb_typeof(p_row -> 'expires_at') <> 'null' then
    v_end := case when jsonb_typeof(p_row -> 'expires_at') = 'string'
      then referral_private.end_time(p_row ->> 'expires_at', p_organisation.time_zone) end;
    if v_end is null then
      return next (
        p_place, 'expires_at', 'invalid_argument', 'ISO 8601, such as 2030-12-31'
      )::referral_private.row_fault;
    elsif v_end <= clock_timestamp() then
      return next (p_place, 'expires_at', 'invalid_argument', 'in the past')::referral_private.row_fault;
    end if;
  end if;
  if jsonb_typeof(p_row -> 'description') not in ('string', 'null') or length(p_row ->> 'description') > 500
    or not referral_private.is_one_line(p_row ->> 'description')
  then
    return next (
      p_place, 'description', 'invalid_argument',
      'one line of up to 500 characters, without control and bidirectional characters'
    )::referral_private.row_fault;
  end if;
  if jsonb_typeof(p_row -> 'beneficiary_id') <> 'null' and referral_private.as_uuid(p_row ->> 'beneficiary_id') is null
  then
    return next (p_place, 'beneficiary_id', 'invalid_argument', 'the id of a user')::referral_private.row_fault;
  end if;
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

-- What is wrong with the rows, without a look at other organisations' codes.
create function referral_private.faults_of_rows(p_organisation referral.organisations, p_rows jsonb, p_keys text[])
returns referral_private.row_fault[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select f
    from jsonb_array_elements(p_rows) with ordinality as r (value, place)
    cross join lateral referral_private.faults_of_row(p_organisation, r.place, r.value) as f
    union all
    select (k.place, 'code', 'code_taken', 'the same as row ' || k.first)::referral_private.row_fault
    from (
      select k.place, k.key, min(k.place) over (partition by k.key) as first
      from unnest(p_keys) with ordinality as k (key, place)
      where k.key is not null
    ) as k
    where k.place > k.first
  );
end
$$;

-- The rows whose text is taken: by a code, or, except to the operator, by purchases that carry it. And those that the
-- organisation refuses because they look like another organisation's.
create function referral_private.taken_rows(p_organisation referral.organisations, p_keys text[])
returns referral_private.row_fault[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_carried constant text[] := case when referral_private.is_operator() then '{}'
    else referral_private.carried_keys(p_keys) end;
begin
  return array(
    select (k.place, 'code', k.refusal, null)::referral_private.row_fault
    from (
      select k.place, case
        when k.key = any (v_carried) or exists (select from referral.codes as c where c.code_key = k.key)
          then 'code_taken'
        when p_organisation.refuse_look_alikes and referral_private.looks_like_another(p_organisation.id, k.key)
          then 'code_looks_alike'
      end as refusal
      from unnest(p_keys) with ordinality as k (key, place)
    ) as k
    where k.refusal is not null
  );
end
$$;

-- A row with a fault: what is wrong in it, a list of {column, code, details}.
create type referral_private.faulty_row as (place bigint, faults jsonb);

-- What is wrong in each row with a fault.
create function referral_private.faults_by_row(p_faults referral_private.row_fault[])
returns setof referral_private.faulty_row
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select f.place,
    jsonb_agg(
      jsonb_build_object('column', f.column_name, 'code', f.code, 'details', f.details)
      order by f.column_name nulls first
    )
  from unnest(p_faults) as f
  group by f.place;
end
$$;

-- The first 1,000 rows with a fault, with what is wrong in each.
create function referral_private.faulty_rows(p_rows jsonb, p_faults referral_private.row_fault[])
returns jsonb
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select jsonb_agg(
      jsonb_build_object('row', f.place, 'code', p_rows -> (f.place::int - 1) -> 'code', 'faults', f.faults)
      order by f.place
    )
    from (select * from referral_private.faults_by_row(p_faults) as f order by f.place limit 1000) as f
  );
end
$$;

-- The code that a row without a fault makes.
create function referral_private.code_of_row(p_organisation referral.organisations, p_row jsonb)
returns referral_private.new_campaign_code
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    referral_private.show_code(p_row ->> 'code'), (p_row ->> 'max_uses')::int,
    referral_private.end_time(p_row ->> 'expires_at', p_organisation.time_zone), p_row ->> 'description',
    referral_private.as_uuid(p_row ->> 'beneficiary_id'),
    referral_private.looks_like_another(p_organisation.id, p_row ->> 'code')
  )::referral_private.new_campaign_code;
end
$$;

-- What each row would do: the code that it makes, and what is wrong with it.
create function referral_private.plan_of_rows(
  p_organisation referral.organisations,
  p_rows jsonb,
  p_faults referral_private.row_fault[]
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select jsonb_agg(
      jsonb_build_object('row', r.place, 'faults', coalesce(f.faults, '[]'))
      || case when f.faults is null then to_jsonb(referral_private.code_of_row(p_organisation, r.value))
        else jsonb_build_object('code', r.value -> 'code') end
      order by r.place
    )
    from jsonb_array_elements(p_rows) with ordinality as r (value, place)
    left join referral_private.faults_by_row(p_faults) as f on f.place = r.place
  );
end
$$;

-- The rows whose codes look like one of another organisation, as a plan shows them; null without any.
create function referral_private.alike_rows(p_codes referral_private.new_campaign_code[])
returns jsonb
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select jsonb_agg(
      to_jsonb(c) - 'place' || jsonb_build_object('row', c.place, 'faults', '[]'::jsonb) order by c.place
    )
    from unnest(p_codes) with ordinality as c (
      code, max_uses, expires_at, description, beneficiary_id, looks_like_another, place
    )
    where c.looks_like_another
  );
end
$$;
