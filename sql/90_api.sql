-- The public contract on one page: every RPC, who may call it, what it returns, which errors it raises. Each runs as
-- its caller, does nothing but call the function of the same name in `referral_private`, and carries the statement
-- timeout, which PostgREST takes from the exposed function. Platform errors (a malformed UUID, an unknown argument)
-- and every code are explained in docs/errors.md.
create function referral.create_organisation(name text, slug text, admin_id uuid)
returns referral.organisations
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select o.* from referral_private.create_organisation(name, slug, admin_id) as o;
$$;

comment on function referral.create_organisation is
  'Creates an organisation and its first admin. Slug: lower-case label, unique. Operator only. Errors: organisation_exists, invalid_argument.';

revoke execute on function referral.create_organisation from public;

grant execute on function referral.create_organisation to service_role;

create function referral.update_organisation(org_id uuid, changes jsonb)
returns referral.organisations
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select o.* from referral_private.update_organisation(org_id, changes) as o;
$$;

comment on function referral.update_organisation is
  'Changes settings: name, active, link_origin, web_destination, ios_destination, android_destination (https), android_package, code_length, codes_per_member, max_uses_cap, rotation_grace; and stripe_account_id, operator only. Unknown keys are refused. Admins and the operator. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, invalid_argument, stripe_account_taken, stripe_account_fixed, busy.';

revoke execute on function referral.update_organisation from public;

grant execute on function referral.update_organisation to authenticated, service_role;

create function referral.add_member(org_id uuid, user_id uuid, role text default 'member')
returns referral.members
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select m.* from referral_private.add_member(org_id, user_id, role) as m;
$$;

comment on function referral.add_member is
  'Adds a person with a role: member, coordinator or admin. Coordinators add members, admins and the operator anyone. Adding the same again changes nothing; an existing role is never changed. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, member_exists, member_deactivated, invalid_argument.';

revoke execute on function referral.add_member from public;

grant execute on function referral.add_member to authenticated, service_role;

create function referral.create_program(org_id uuid, key text, name text, terms jsonb default '{}')
returns referral.programs
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select p.* from referral_private.create_program(org_id, key, name, terms) as p;
$$;

comment on function referral.create_program is
  'Creates a program with version 1 of its terms; the organisation''s first program is its default. Admins and the operator. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, program_exists, invalid_terms, invalid_argument, busy.';

revoke execute on function referral.create_program from public;

grant execute on function referral.create_program to authenticated, service_role;

create function referral.create_code(
  org_id uuid,
  referrer_id uuid default null,
  code text default null,
  program_id uuid default null,
  max_uses int default null,
  expires_at timestamptz default null,
  description text default null
)
returns referral.codes
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select c.*
  from referral_private.create_code(org_id, referrer_id, code, program_id, max_uses, expires_at, description) as c;
$$;

comment on function referral.create_code is
  'Creates a referrer''s code; the referrer is the caller unless given, the program the default unless given. A chosen code, a limit and an expiry are for staff. Members for themselves, coordinators, admins and the operator for any member. Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, member_not_found, member_deactivated, organisation_not_found, program_not_found, program_inactive, active_code_exists, code_suspended, code_taken, invalid_code, invalid_argument, busy.';

revoke execute on function referral.create_code from public;

grant execute on function referral.create_code to authenticated, service_role;

create function referral.get_active_code(org_id uuid, referrer_id uuid default null)
returns setof referral.codes
language plpgsql
stable
rows 1
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
begin
  return query
  select c.* from referral_private.get_active_code(get_active_code.org_id, get_active_code.referrer_id) as c where c.id is not null;
end
$$;

comment on function referral.get_active_code is
  'The active code of a referrer (the caller unless given), or no row. The referrer, coordinators, admins and the operator. Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

revoke execute on function referral.get_active_code from public;

grant execute on function referral.get_active_code to authenticated, service_role;

create function referral.find_code(code text)
returns setof referral.codes
language plpgsql
stable
rows 1
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
begin
  return query
  select c.* from referral_private.find_code(find_code.code) as c where c.id is not null;
end
$$;

comment on function referral.find_code is
  'A code in any status, in any case, spacing and confusable spelling; no row for whoever does not own it and is not staff of its organisation. Text that is not a code is found nowhere: no row.';

revoke execute on function referral.find_code from public;

grant execute on function referral.find_code to authenticated, service_role;

create function referral.rotate_code(
  org_id uuid,
  referrer_id uuid default null,
  code text default null,
  grace interval default null,
  reason text default null
)
returns referral.codes
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select c.* from referral_private.rotate_code(org_id, referrer_id, code, grace, reason) as c;
$$;

comment on function referral.rotate_code is
  'Retires the active code of a referrer (the caller unless given) and issues the next, in one step. The new code inherits program, expiry, description and remaining uses. The old one stays redeemable for the grace period: 0 unless given, at most the organisation''s rotation_grace. A chosen code is for staff. Errors: as create_code, and no_active_code.';

revoke execute on function referral.rotate_code from public;

grant execute on function referral.rotate_code to authenticated, service_role;

create function referral.deactivate_code(org_id uuid, referrer_id uuid default null, reason text default null)
returns setof referral.codes
language sql
volatile
rows 1
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select c.* from referral_private.deactivate_code(org_id, referrer_id, reason) as c where c.id is not null;
$$;

comment on function referral.deactivate_code is
  'Ends the active code of a referrer (the caller unless given) for good. No active code is not an error: no row. The referrer, coordinators, admins and the operator. Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, member_not_found, organisation_not_found, invalid_argument, busy.';

revoke execute on function referral.deactivate_code from public;

grant execute on function referral.deactivate_code to authenticated, service_role;

create function referral.resolve_code(code text)
returns setof referral.resolved_code
language plpgsql
stable
rows 1
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
begin
  return query select r.* from referral_private.resolve_code(resolve_code.code) as r;
end
$$;

comment on function referral.resolve_code is
  'What anyone may know of a redeemable code: the code as shown, names, destinations. No row for every other, whatever the reason. Anyone.';

revoke execute on function referral.resolve_code from public;

grant execute on function referral.resolve_code to anon, authenticated, service_role;

create function referral.redeem_code(
  code text,
  click_id uuid default null,
  provenance text default 'typed',
  channel text default null
)
returns setof referral.redeemed_code
language plpgsql
volatile
rows 1
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select r.* from referral_private.redeem_code(code, click_id, provenance, channel) as r;
end
$$;

comment on function referral.redeem_code is
  'Redeems a code for the caller, once per program. The same code again answers with the same redemption. Channel: lower-case label of up to 32 characters. Signed-in people. Errors: not_signed_in, anonymous_user, invalid_code, code_not_found, code_inactive, code_suspended, code_expired, code_limit_reached, program_inactive, already_redeemed, self_referral, mutual_referral, new_users_only, invalid_click, invalid_argument, busy.';

revoke execute on function referral.redeem_code from public;

grant execute on function referral.redeem_code to authenticated;

create function referral.my_referrals(org_id uuid)
returns table (
  redemption_id uuid,
  status referral.redemption_status,
  redeemed_at timestamptz,
  confirmed_at timestamptz,
  channel text
)
language plpgsql
stable
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
begin
  return query select r.* from referral_private.my_referrals(my_referrals.org_id) as r;
end
$$;

comment on function referral.my_referrals is
  'The caller''s referrals in an organisation, newest first: redemption, status, times and channel, never who. Errors: not_signed_in, anonymous_user, invalid_argument.';

revoke execute on function referral.my_referrals from public;

grant execute on function referral.my_referrals to authenticated;

create function referral.ingest_stripe_event(event jsonb)
returns table (event_id text, status referral.event_status)
language plpgsql
volatile
rows 1
security invoker
set search_path = ''
set statement_timeout = '20s'
as $$
begin
  return query select r.* from referral_private.ingest_stripe_event(ingest_stripe_event.event) as r;
end
$$;

comment on function referral.ingest_stripe_event is
  'Takes one delivery of a verified Stripe event, reduced to what is needed, and answers applied, duplicate or ignored. Operator only. Errors: invalid_event, busy.';

revoke execute on function referral.ingest_stripe_event from public;

grant execute on function referral.ingest_stripe_event to service_role;
