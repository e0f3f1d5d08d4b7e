-- Campaign codes from rows of a file: all of them, or none.

create type referral.code_import as (batch_id uuid, made int, rows jsonb);

-- Refuses rows that are too many or too large to be checked, with `invalid_argument`.
create function referral_private.require_rows(p_rows jsonb)
returns void
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(p_rows) is distinct from 'array' or jsonb_array_length(p_rows) not between 1 and 50000 then
    perform referral_private.raise_error('invalid_argument', 'rows: an array of 1 to 50,000 objects');
  end if;
  if pg_column_size(p_rows) > 33554432 then
    perform referral_private.raise_error('invalid_argument', 'rows: up to 32 MiB');
  end if;
end
$$;

-- Stores an import's codes, and then takes the Stripe account lock: events wait for the commit alone, and not for
-- thousands of rows. Purchases under way may carry the texts of the codes. Those of the operator's codes, which come
-- from elsewhere, are settled; staff may not choose such a text, and are told at the next try. Raises `busy`.
create function referral_private.store_import(
  p_org_id uuid,
  p_program_id uuid,
  p_batch_id uuid,
  p_codes referral_private.new_campaign_code[],
  p_keys text[]
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Another session can take one of the texts meanwhile.
  if referral_private.insert_campaign_codes(p_org_id, p_program_id, p_batch_id, p_codes) < cardinality(p_codes) then
    perform referral_private.raise_error('busy');
  end if;
  perform referral_private.record_difference(
    p_org_id, 'code_batch', p_batch_id, null,
    jsonb_build_object('made', cardinality(p_codes), 'program_id', p_program_id)
  );
  if referral_private.is_operator() then
    perform referral_private.settle_keys(
      referral_private.lock_drained_account_of(p_org_id), p_keys, now() - interval '2 minutes', 'codes imported'
    );
    return;
  end if;
  perform referral_private.ready_to_choose(p_org_id, p_keys);
  if referral_private.carried_keys(p_keys) <> '{}' then
    perform referral_private.raise_error('busy');
  end if;
end
$$;

-- Which texts are taken is said only where nothing else is wrong. A refusal is returned and not raised, because an
-- error would undo the count of its rows.
create function referral_private.import_codes(
  p_org_id uuid,
  p_rows jsonb,
  p_program_id uuid default null,
  p_dry_run boolean default false
)
returns setof referral.code_import
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '10s'
set timezone = 'UTC'
as $$
declare
  v_organisation referral.organisations;
  v_program_id uuid;
  v_batch_id uuid;
  v_keys text[];
  v_faults referral_private.row_fault[];
  v_codes referral_private.new_campaign_code[];
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  perform referral_private.require_rows(p_rows);
  v_batch_id := referral_private.begin_batch(p_org_id, jsonb_array_length(p_rows));
  select * into strict v_organisation from referral.organisations as o where o.id = p_org_id;
  v_program_id := (referral_private.program_for_code(p_org_id, p_program_id)).id;
  v_keys := referral_private.keys_of_rows(p_rows);
  v_faults := referral_private.faults_of_rows(v_organisation, p_rows, v_keys);
  if v_faults = '{}' then
    v_faults := referral_private.taken_rows(v_organisation, v_keys);
  end if;
  if p_dry_run then
    return query
    select null::uuid, case when v_faults = '{}' then cardinality(v_keys) else 0 end,
      referral_private.plan_of_rows(v_organisation, p_rows, v_faults);
    return;
  end if;
  if v_faults <> '{}' then
    return query select null::uuid, 0, referral_private.faulty_rows(p_rows, v_faults);
    return;
  end if;
  v_codes := array(
    select referral_private.code_of_row(v_organisation, r.value) from jsonb_array_elements(p_rows) as r (value)
  );
  perform referral_private.store_import(p_org_id, v_program_id, v_batch_id, v_codes, v_keys);
  return query select v_batch_id, cardinality(v_codes), referral_private.alike_rows(v_codes);
end
$$;

comment on function referral_private.import_codes is
  'public: Takes campaign codes from rows: all, or none where a row has a fault. Then made is 0, batch_id is null, and
rows has the first 1,000 rows with a fault. That a text is taken is said only where no row has another fault. A text
that a purchase of the last 400 days carries is code_taken; the operator''s import takes it, and settles these
purchases. An organisation imports one file at a time, and the rows that staff ask for in 24 hours, dry runs and
refused ones too, are up to batch_rows_per_day.

group: Manage codes
org_id: the organisation
rows: up to 50,000 objects {code, max_uses, expires_at, description, beneficiary_id} of 32 MiB at most; expires_at in
  ISO 8601: a date is its end, and a time without an offset one, in the organisation''s time_zone
program_id: the default program unless given
dry_run: true stores nothing: made is how many codes an import would make, rows what each row would do: {row, code,
  max_uses, expires_at, description, beneficiary_id, looks_like_another, faults}, or with faults {row, code, faults}
callers: coordinators, admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, program_not_found,
  program_inactive, invalid_argument, rate_limited, busy
returns: a row; after an import rows has the rows that look like another''s, or is null
timeout: 60s';

grant execute on function referral_private.import_codes to authenticated, service_role;
