-- Commands on programs.

create function referral_private.create_program(p_org_id uuid, p_key text, p_name text, p_terms jsonb default '{}')
returns referral.programs
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_program referral.programs;
begin
  perform referral_private.require_role(p_org_id, 'admin');
  -- The organisation's row decides who comes first, and so which program is the default. The caller may have lost the
  -- role while this waited.
  perform from referral.organisations as o where o.id = p_org_id for no key update;
  perform referral_private.require_role(p_org_id, 'admin');

  insert into referral.programs (org_id, key, name, is_default)
  values (p_org_id, p_key, p_name, not exists (select from referral.programs as p where p.org_id = p_org_id))
  returning * into v_program;

  insert into referral.program_terms (org_id, program_id, version, terms)
  values (p_org_id, v_program.id, 1, referral_private.complete_terms(p_terms));
  return v_program;
end
$$;

comment on function referral_private.create_program is
  'public: Creates a program with version 1 of its terms. The organisation''s first program is its default.

group: Set up organisations and programs
org_id: the organisation
key: a lower-case label, unique in the organisation
name: one line of 1 to 120 characters
terms: see docs/terms.md; unknown keys are refused
callers: admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, program_exists,
  invalid_argument, invalid_terms, busy
timeout: 10s';

grant execute on function referral_private.create_program to authenticated, service_role;

-- Refuses more than 50 versions of a program's terms in 24 hours, with `rate_limited`: each is kept for ever, and is
-- settled under the Stripe account lock, for which others wait.
create function referral_private.require_terms_allowance(p_program referral.programs)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if (
    select count(*) from referral.program_terms as t
    where t.org_id = p_program.org_id and t.program_id = p_program.id
      and t.valid_from > clock_timestamp() - interval '24 hours'
  ) >= 50 then
    perform referral_private.raise_error('rate_limited', '50 versions of terms in 24 hours');
  end if;
end
$$;

-- Puts changed terms in force from a time on, as the next version; changes that change nothing make none. The Stripe
-- account and the organisation's row are locked.
create function referral_private.replace_terms(p_program referral.programs, p_changes jsonb, p_from timestamptz)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old referral.program_terms := referral_private.terms_in_force(p_program.org_id, p_program.id);
  v_terms jsonb := referral_private.changed_terms(v_old.terms, p_changes);
begin
  if v_terms = v_old.terms then
    return;
  end if;
  perform referral_private.require_terms_allowance(p_program);
  update referral.program_terms as t
  set valid_to = p_from
  where t.org_id = p_program.org_id and t.program_id = p_program.id and t.version = v_old.version;
  insert into referral.program_terms (org_id, program_id, version, terms, valid_from)
  values (p_program.org_id, p_program.id, v_old.version + 1, v_terms, p_from);
end
$$;

-- The Stripe account lock keeps redemptions from reading terms that are being replaced.
create function referral_private.update_program(p_program_id uuid, p_changes jsonb)
returns referral.programs
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_program referral.programs;
  v_active boolean;
  v_now timestamptz;
begin
  select * into v_program from referral.programs as p where p.id = p_program_id;
  if v_program.id is null or not (
    referral_private.is_operator() or v_program.id in (select referral_private.readable_programs())
  ) then
    perform referral_private.raise_error('program_not_found');
  end if;
  perform referral_private.require_role(v_program.org_id, 'admin');
  perform referral_private.require_changes(p_changes, '{name,active,is_default,terms}');
  if p_changes -> 'is_default' <> 'true' then
    perform referral_private.raise_error('invalid_argument', 'is_default: true only');
  end if;
  v_active := p_changes ->> 'active';
  if p_changes ? 'terms' then
    -- Checked before the lock, for which all purchases wait.
    perform referral_private.require_terms(p_changes -> 'terms', true);
    perform referral_private.require_terms_allowance(v_program);
  end if;

  perform referral_private.lock_stripe_account_of(v_program.org_id);
  perform from referral.organisations as o where o.id = v_program.org_id for no key update;
  -- The caller may have lost the role while this waited.
  perform referral_private.require_role(v_program.org_id, 'admin');
  select * into strict v_program from referral.programs as p where p.id = p_program_id;
  v_now := clock_timestamp();
  if p_changes ? 'terms' then
    perform referral_private.replace_terms(v_program, p_changes -> 'terms', v_now);
  end if;
  if p_changes ? 'is_default' then
    update referral.programs as p set is_default = false where p.org_id = v_program.org_id and p.is_default;
  end if;
  update referral.programs as p
  set name = case when p_changes ? 'name' then p_changes ->> 'name' else p.name end,
    active = case when p_changes ? 'active' then v_active else p.active end,
    is_default = p.is_default or p_changes ? 'is_default'
  where p.id = p_program_id
  returning * into v_program;
  if p_changes ?| '{terms,active}'::text[] then
    perform referral_private.settle_program(
      referral_private.stripe_account_of(v_program.org_id), p_program_id, v_now
    );
  end if;
  return v_program;
exception
  when invalid_text_representation then
    perform referral_private.raise_error('invalid_argument', 'active: true or false');
end
$$;

comment on function referral_private.update_program is
  'public: Changes a program: name, active, is_default (true only) and terms. Of the terms, keys that are not given
stay, and a key that is null gets its default. Changed terms become a new version: what was redeemed keeps the terms it
was made under, and a code that a payment carries counts under the terms of that time. A program gets at most 50
versions in 24 hours.

group: Set up organisations and programs
program_id: the program
changes: an object with these keys; unknown keys are refused
callers: admins and the operator
errors: not_allowed, program_not_found, invalid_argument, invalid_terms, rate_limited, busy
timeout: 10s';

grant execute on function referral_private.update_program to authenticated, service_role;
