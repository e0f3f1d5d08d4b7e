-- Campaign codes: codes of the organisation, without a referrer, one at a time or in thousands.

create function referral_private.create_campaign_code(
  p_org_id uuid,
  p_code text default null,
  p_program_id uuid default null,
  p_beneficiary_id uuid default null,
  p_max_uses int default null,
  p_expires_at timestamptz default null,
  p_description text default null
)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  perform referral_private.require_future_expiry(p_expires_at);
  if p_code is not null then
    perform referral_private.ready_to_choose(p_org_id, array[referral_private.normalise_code(p_code)]);
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
end
$$;

comment on function referral_private.create_campaign_code is
  'public: Creates a code of the organisation, without a referrer; a beneficiary may earn from it. It counts against its
maker''s allowance. looks_like_another is as in create_code.

group: Manage codes
org_id: the organisation
code: the text of the code, 3 to 32 letters and digits; drawn unless given
program_id: the default program unless given
beneficiary_id: the user who earns; nobody unless given
max_uses: redemptions at most, not purchases that carry the code; no limit unless given
expires_at: when the code ends; never unless given
description: one line of up to 500 characters
callers: coordinators, admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, program_not_found,
  program_inactive, too_many_codes, code_taken, code_reserved, code_looks_alike, invalid_argument, invalid_code,
  busy
timeout: 10s';

grant execute on function referral_private.create_campaign_code to authenticated, service_role;

create type referral_private.new_campaign_code as (
  code text,
  max_uses int,
  expires_at timestamptz,
  description text,
  beneficiary_id uuid,
  looks_like_another boolean
);

-- Stores campaign codes of a batch and returns how many; a code whose text is taken is left out. They are inserted in
-- the order of their normal form: two batches in different orders would deadlock.
create function referral_private.insert_campaign_codes(
  p_org_id uuid,
  p_program_id uuid,
  p_batch_id uuid,
  p_codes referral_private.new_campaign_code[]
)
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_made int;
begin
  with
    given as materialized (
      select c.*, case when c.max_uses is not null then gen_random_uuid() end as quota_id from unnest(p_codes) as c
    ),
    quotas as (
      insert into referral.code_quotas (org_id, quota_id, max_uses)
      select p_org_id, g.quota_id, g.max_uses from given as g where g.quota_id is not null
    )
  insert into referral.codes (
    org_id, program_id, code, description, expires_at, quota_id, beneficiary_id, batch_id, created_by,
    looks_like_another
  )
  select p_org_id, p_program_id, g.code, g.description, g.expires_at, g.quota_id, g.beneficiary_id, p_batch_id,
    auth.uid(), g.looks_like_another
  from given as g
  order by referral_private.normalise_code(g.code)
  on conflict on constraint codes_key_is_unique do nothing;
  get diagnostics v_made = row_count;
  return v_made;
end
$$;

create type referral.code_batch as (batch_id uuid, made int);

create function referral_private.generate_codes(
  p_org_id uuid,
  p_count int,
  p_program_id uuid default null,
  p_max_uses int default null,
  p_expires_at timestamptz default null,
  p_description text default null
)
returns setof referral.code_batch
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '10s'
set timezone = 'UTC'
as $$
declare
  v_program_id uuid;
  v_batch_id uuid;
  v_length int;
  v_made int := 0;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if p_count is null or p_count not between 1 and 10000 then
    perform referral_private.raise_error('invalid_argument', 'count: 1 to 10,000');
  end if;
  perform referral_private.require_future_expiry(p_expires_at);
  if p_max_uses not between 1 and (select o.max_uses_cap from referral.organisations as o where o.id = p_org_id) then
    perform referral_private.raise_error('invalid_argument', 'max_uses: 1 to max_uses_cap of the organisation');
  end if;
  v_program_id := (referral_private.program_for_code(p_org_id, p_program_id)).id;
  v_length := referral_private.drawn_length(p_org_id, v_program_id, p_max_uses is not null);
  v_batch_id := referral_private.begin_batch(p_org_id, p_count);

  for attempt in 1..20 loop
    v_made := v_made + referral_private.insert_campaign_codes(
      p_org_id, v_program_id, v_batch_id,
      array(
        select (t, p_max_uses, p_expires_at, p_description, null, false)::referral_private.new_campaign_code
        from unnest(referral_private.draw_texts(p_count - v_made, v_length)) as t
      )
    );
    if v_made = p_count then
      perform referral_private.record_difference(
        p_org_id, 'code_batch', v_batch_id, null,
        jsonb_build_object(
          'made', v_made, 'program_id', v_program_id, 'max_uses', p_max_uses, 'expires_at', p_expires_at,
          'description', p_description
        )
      );
      return query select v_batch_id, v_made;
      return;
    end if;
  end loop;
  perform referral_private.raise_error('busy');
end
$$;

comment on function referral_private.generate_codes is
  'public: Draws campaign codes and returns their batch_id, to list them by. Staff draw one batch at a time, and
batch_rows_per_day codes in 24 hours.

group: Manage codes
org_id: the organisation
count: 1 to 10,000
program_id: the default program unless given
max_uses: redemptions of each code at most; no limit unless given
expires_at: when the codes end; never unless given
description: one line of up to 500 characters
callers: coordinators, admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, program_not_found,
  program_inactive, invalid_argument, rate_limited, busy
returns: a row
timeout: 60s';

grant execute on function referral_private.generate_codes to authenticated, service_role;
