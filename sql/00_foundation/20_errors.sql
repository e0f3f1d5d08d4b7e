-- Every error that SQL raises: code, HTTP status, message. docs/errors.md explains them; a test keeps both equal.
create type referral_private.error as (code text, status int, message text);

-- All errors, each once.
create function referral_private.error_registry()
returns setof referral_private.error
language sql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
  values
    ('not_signed_in', 401, 'Sign in first.'),
    ('anonymous_user', 403, 'An anonymous sign-in cannot do this.'),
    ('not_a_member', 403, 'You are not a member of this organisation.'),
    ('not_allowed', 403, 'You are not allowed to do this in this organisation.'),
    ('member_deactivated', 403, 'This member is deactivated.'),
    ('member_blocked', 403, 'This member is blocked from having codes.'),
    ('not_invited', 403, 'There is no program here that you can join by yourself.'),
    ('self_referral', 403, 'Nobody can redeem a code that is theirs.'),
    ('new_users_only', 403, 'This program is for new users only.'),
    ('organisation_not_found', 404, 'There is no such organisation.'),
    ('member_not_found', 404, 'This person is not a member of the organisation.'),
    ('program_not_found', 404, 'There is no such program in this organisation.'),
    ('code_not_found', 404, 'There is no such code.'),
    ('redemption_not_found', 404, 'There is no such redemption.'),
    ('decision_not_found', 404, 'There is no such decision.'),
    ('no_active_code', 404, 'This referrer has no active code in the organisation.'),
    ('organisation_exists', 409, 'An organisation with this slug exists.'),
    ('stripe_account_taken', 409, 'Another organisation has this Stripe account.'),
    ('link_origin_taken', 409, 'Another organisation has this link origin.'),
    ('stripe_account_fixed', 409, 'The Stripe account has payments and cannot be changed any more.'),
    ('last_admin', 409, 'An organisation keeps at least one admin.'),
    ('member_exists', 409, 'This person is a member already, with another role.'),
    ('program_exists', 409, 'A program with this key exists in the organisation.'),
    ('program_inactive', 409, 'This program is switched off.'),
    ('active_code_exists', 409, 'This referrer has an active code in the organisation.'),
    ('active_in_other_program', 409, 'This referrer has an active code in another program of the organisation.'),
    ('too_many_codes', 409, 'This member has as many codes as the organisation allows.'),
    ('code_suspended', 409, 'The code is suspended.'),
    ('code_taken', 409, 'This code, or one that reads the same, is taken.'),
    ('code_reserved', 409, 'This word cannot be a code.'),
    ('code_looks_alike', 409, 'A code of another organisation looks like this one.'),
    ('code_inactive', 409, 'This code is no longer in use.'),
    ('code_expired', 409, 'This code has expired.'),
    ('code_limit_reached', 409, 'This code has been used as often as it may be.'),
    ('code_uses_reserved', 409, 'Sign-ups have reserved the uses that are left. Some may become free within the hour.'),
    ('code_ended', 409, 'A code that has ended stays as it is.'),
    ('record_conflict', 409, 'This reference is recorded with other content.'),
    ('redemption_rejected', 409, 'Staff have rejected this redemption.'),
    ('already_redeemed', 409, 'This person has redeemed a code of this program.'),
    ('mutual_referral', 409, 'Two people cannot refer each other in one program.'),
    ('invalid_argument', 400, 'An argument is missing or has a value that is not allowed.'),
    ('invalid_code', 400, 'This is not a code: 3 to 32 letters and digits.'),
    ('invalid_terms', 400, 'The terms of the program are not valid.'),
    ('invalid_click', 400, 'There is no click that proves this.'),
    ('invalid_event', 400, 'The event is not one that can be read.'),
    ('rate_limited', 429, 'Too many calls of this kind. Try again later.'),
    ('busy', 503, 'The database is busy. Try again.');
$$;

-- Is this the code of a refusal after which an app, or a claim of a sign-up, forgets the code? After any other it is
-- kept for another try. A limit can be raised, and terms can be changed: the person enters the code again then.
create function referral_private.is_final_refusal(p_code text)
returns boolean
language sql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
  select
    p_code in (
      'invalid_code',
      'code_not_found',
      'code_inactive',
      'code_expired',
      'code_limit_reached',
      'already_redeemed',
      'self_referral',
      'mutual_referral',
      'new_users_only'
    );
$$;

-- Raises a registered error the way PostgREST relays: `{code, message, details, hint}` and the HTTP status.
create function referral_private.raise_error(p_code text, p_details text default null)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_status int;
  v_message text;
begin
  select e.status, e.message into strict v_status, v_message
  from referral_private.error_registry() as e
  where e.code = p_code;

  raise sqlstate 'PGRST' using
    message = json_build_object('code', p_code, 'message', v_message, 'details', p_details, 'hint', null)::text,
    detail = json_build_object(
      'status', v_status,
      'headers', case p_code
        when 'busy' then json_build_object('Retry-After', '1')
        when 'rate_limited' then json_build_object('Retry-After', '3600')
        else json_build_object()
      end
    )::text;
end
$$;

-- What a constraint says of an argument, which is its comment: the name of the argument, and what it must be.
create function referral_private.rule_of(p_schema text, p_constraint text)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select max(obj_description(c.oid, 'pg_constraint'))
    from pg_constraint as c
    where c.conname = p_constraint and c.connamespace::regnamespace::text = p_schema
  );
end
$$;

-- Raises the error for a violated constraint, or `busy` for a lock time-out or a deadlock. The public functions call it
-- from their exception handlers, and raise the original error again if it returns: a violation that is no fault of the
-- caller is not hidden.
create function referral_private.raise_violation(p_sqlstate text, p_schema text, p_constraint text, p_column text)
returns void
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code text;
begin
  case p_sqlstate
    when '55P03', '40P01' then
      v_code := 'busy';
    when '23505' then
      v_code := case p_constraint
        when 'organisations_slug_is_unique' then 'organisation_exists'
        when 'organisations_stripe_account_is_unique' then 'stripe_account_taken'
        when 'organisations_link_origin_is_unique' then 'link_origin_taken'
        when 'programs_key_is_unique' then 'program_exists'
        when 'codes_one_active' then 'active_code_exists'
      end;
    when '23502', '23514' then
      -- Tables of `referral` and records of payments take a caller's value unchanged, and a sum can become too large.
      if p_schema = 'referral' or starts_with(p_constraint, 'recorded_facts_')
        or right(p_constraint, 19) = 'exact_in_javascript'
      then
        v_code := 'invalid_argument';
      end if;
    else
      return;
  end case;
  if v_code is not null then
    perform referral_private.raise_error(
      v_code, coalesce(
        referral_private.rule_of(p_schema, p_constraint),
        case when p_sqlstate = '40P01' then 'two calls waited for each other' end,
        case when v_code = 'invalid_argument' then coalesce(nullif(p_constraint, ''), p_column || ': required') end
      )
    );
  end if;
end
$$;

grant execute on function referral_private.raise_violation to authenticated, service_role;
