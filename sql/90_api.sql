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
  'Changes settings: name, active, web_destination, ios_destination, android_destination (https), android_package, ios_app_ids (TEAMID.bundle.id), android_fingerprints (SHA-256, AB:CD:…), code_length, codes_per_member, max_uses_cap, rotation_grace; redemptions_per_account, redemptions_per_address (per hour); click_window (an interval of up to 90 days in which a click proves a redemption), clicks_per_visitor, clicks_per_code (kept of a code and day in UTC); and, operator only, stripe_account_id and link_origin (https, lower case, of one organisation only). Unknown keys are refused. Admins and the operator. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, invalid_argument, stripe_account_taken, stripe_account_fixed, busy.';

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

create function referral.set_member_role(org_id uuid, user_id uuid, role text)
returns referral.members
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.set_member_role(org_id, user_id, role) as x;
$$;

comment on function referral.set_member_role is
  'Changes a member''s role. Admins and the operator. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, member_not_found, last_admin, invalid_argument, busy.';

revoke execute on function referral.set_member_role from public;

grant execute on function referral.set_member_role to authenticated, service_role;

create function referral.deactivate_member(
  org_id uuid,
  user_id uuid,
  reason text default null,
  block boolean default false
)
returns referral.members
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.deactivate_member(org_id, user_id, reason, block) as x;
$$;

comment on function referral.deactivate_member is
  'Takes a member''s rights and ends their codes; blocked, they get none again. Coordinators for members, admins and the operator for anyone but the last admin. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, member_not_found, last_admin, invalid_argument, busy.';

revoke execute on function referral.deactivate_member from public;

grant execute on function referral.deactivate_member to authenticated, service_role;

create function referral.reactivate_member(
  org_id uuid,
  user_id uuid,
  unblock boolean default false,
  reason text default null
)
returns referral.members
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.reactivate_member(org_id, user_id, unblock, reason) as x;
$$;

comment on function referral.reactivate_member is
  'Gives a deactivated member their role back; ended codes stay ended. With `unblock`, for admins, they may have codes again. Who may: as deactivate_member. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, member_not_found, invalid_argument, busy.';

revoke execute on function referral.reactivate_member from public;

grant execute on function referral.reactivate_member to authenticated, service_role;

create function referral.set_my_name(org_id uuid, display_name text, public_name boolean default false)
returns referral.members
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select m.* from referral_private.set_my_name(org_id, display_name, public_name) as m;
$$;

comment on function referral.set_my_name is
  'Says how the caller is called in an organisation (1 to 80 characters, or null), and whether whoever opens their link reads it. Members, for themselves. Errors: not_signed_in, anonymous_user, not_a_member, invalid_argument, busy.';

revoke execute on function referral.set_my_name from public;

grant execute on function referral.set_my_name to authenticated;

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

create function referral.update_program(program_id uuid, changes jsonb)
returns referral.programs
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.update_program(program_id, changes) as x;
$$;

comment on function referral.update_program is
  'Changes name, active, is_default (true only) and terms, which become a new version: what was redeemed keeps the terms it was made under. Admins and the operator. Errors: not_signed_in, not_allowed, program_not_found, invalid_terms, invalid_argument, busy.';

revoke execute on function referral.update_program from public;

grant execute on function referral.update_program to authenticated, service_role;

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
  'Creates a referrer''s code; the referrer is the caller unless given, the program the default unless given. A chosen code, a limit and an expiry are for staff. Members for themselves, coordinators, admins and the operator for any member. Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, member_not_found, member_deactivated, member_blocked, not_invited, organisation_not_found, program_not_found, program_inactive, active_code_exists, code_suspended, too_many_codes, code_taken, code_reserved, invalid_code, invalid_argument, busy.';

revoke execute on function referral.create_code from public;

grant execute on function referral.create_code to authenticated, service_role;

create function referral.get_or_create_code(org_id uuid, program_id uuid default null)
returns referral.codes
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.get_or_create_code(org_id, program_id) as x;
$$;

comment on function referral.get_or_create_code is
  'The caller''s active code, or a new one. In a program with open enrolment the caller becomes a member by asking. Signed-in people. Errors: not_signed_in, anonymous_user, not_invited, member_deactivated, member_blocked, program_not_found, program_inactive, active_in_other_program, code_suspended, too_many_codes, invalid_argument, busy.';

revoke execute on function referral.get_or_create_code from public;

grant execute on function referral.get_or_create_code to authenticated;

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

create function referral.suspend_code(code_id uuid, reason text default null)
returns referral.codes
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.suspend_code(code_id, reason) as x;
$$;

comment on function referral.suspend_code is
  'Suspends an active code: it cannot be redeemed, and its referrer gets no other; the grace of their earlier codes ends for good. Coordinators, admins and the operator. Errors: code_not_found, code_final, invalid_argument, busy.';

revoke execute on function referral.suspend_code from public;

grant execute on function referral.suspend_code to authenticated, service_role;

create function referral.reactivate_code(code_id uuid, reason text default null)
returns referral.codes
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.reactivate_code(code_id, reason) as x;
$$;

comment on function referral.reactivate_code is
  'Makes a suspended code active again. Coordinators, admins and the operator. Errors: code_not_found, code_final, invalid_argument, busy.';

revoke execute on function referral.reactivate_code from public;

grant execute on function referral.reactivate_code to authenticated, service_role;

create function referral.end_code(code_id uuid, reason text default null, block boolean default false)
returns referral.codes
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.end_code(code_id, reason, block) as x;
$$;

comment on function referral.end_code is
  'Ends any code for good, campaign codes included, and the grace of the referrer''s earlier ones. With `block` the referrer gets no code again. Coordinators, admins and the operator. Errors: code_not_found, invalid_argument, busy.';

revoke execute on function referral.end_code from public;

grant execute on function referral.end_code to authenticated, service_role;

create function referral.update_code(code_id uuid, changes jsonb)
returns referral.codes
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.update_code(code_id, changes) as x;
$$;

comment on function referral.update_code is
  'Changes description, expires_at and max_uses (null: no limit); of an ended code the description only. Coordinators, admins and the operator. Errors: code_not_found, code_final, invalid_argument, busy.';

revoke execute on function referral.update_code from public;

grant execute on function referral.update_code to authenticated, service_role;

create function referral.create_campaign_code(
  org_id uuid,
  code text default null,
  program_id uuid default null,
  beneficiary_id uuid default null,
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
  select x.*
  from
    referral_private.create_campaign_code(
      org_id,
      code,
      program_id,
      beneficiary_id,
      max_uses,
      expires_at,
      description
    ) as x;
$$;

comment on function referral.create_campaign_code is
  'Creates a code of the organisation''s own, without a referrer; a beneficiary may earn from it. It counts against its maker''s allowance. Coordinators, admins and the operator. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, program_not_found, program_inactive, too_many_codes, code_taken, code_reserved, invalid_code, invalid_argument, busy.';

revoke execute on function referral.create_campaign_code from public;

grant execute on function referral.create_campaign_code to authenticated, service_role;

create function referral.generate_codes(
  org_id uuid,
  count int,
  program_id uuid default null,
  max_uses int default null,
  expires_at timestamptz default null,
  description text default null
)
returns table (batch_id uuid, made int)
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '60s'
as $$
  select x.* from referral_private.generate_codes(org_id, count, program_id, max_uses, expires_at, description) as x;
$$;

comment on function referral.generate_codes is
  'Draws 1 to 10,000 campaign codes at once; list them by batch_id. Coordinators, admins and the operator. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, program_not_found, program_inactive, invalid_argument, busy.';

revoke execute on function referral.generate_codes from public;

grant execute on function referral.generate_codes to authenticated, service_role;

create function referral.import_codes(org_id uuid, rows jsonb, program_id uuid default null)
returns table (batch_id uuid, made int)
language sql
volatile
rows 1
security invoker
set search_path = ''
set statement_timeout = '60s'
as $$
  select x.* from referral_private.import_codes(org_id, rows, program_id) as x;
$$;

comment on function referral.import_codes is
  'Takes up to 10,000 campaign codes as rows of {code, max_uses, expires_at, description}: all, or none where one cannot be taken; details then lists the rows by number. Coordinators, admins and the operator. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, program_not_found, program_inactive, invalid_rows, invalid_argument, busy.';

revoke execute on function referral.import_codes from public;

grant execute on function referral.import_codes to authenticated, service_role;

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
  'What anyone may know of a redeemable code: the code as shown, names, destinations, and the organisation''s own link origin, if it has one. No row for every other, whatever the reason. Anyone.';

revoke execute on function referral.resolve_code from public;

grant execute on function referral.resolve_code to anon, authenticated, service_role;

create function referral.link_site(host text)
returns table (
  link_origin text,
  web_destination text,
  ios_app_ids text[],
  android_package text,
  android_fingerprints text[]
)
language plpgsql
stable
rows 1
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
begin
  return query select s.* from referral_private.link_site(host) as s;
end
$$;

comment on function referral.link_site is
  'What anyone may know of a link host, such as go.example.org or go.example.org:8443: the destination of its organisation, and the apps that open its links. No row for a host that is nobody''s. Anyone.';

revoke execute on function referral.link_site from public;

grant execute on function referral.link_site to anon, authenticated, service_role;

create function referral.record_click(
  code text,
  click_id uuid,
  address text default null,
  user_agent text default null,
  platform text default 'web',
  channel text default null,
  utm jsonb default null
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
begin
  return referral_private.record_click(code, click_id, address, user_agent, platform, channel, utm);
end
$$;

comment on function referral.record_click is
  'Records a click on a code, once per click id. True: it counts. False: the visitor has clicked on this code before on this day (UTC), or nothing was stored, because the code cannot be redeemed or as many clicks are stored as the organisation allows. Address and user agent tell visitors apart and are not stored. Platform: ios, android or web. Channel: one of the enum click_channel; any other is none. Utm: utm_source, utm_medium, utm_campaign, utm_term and utm_content, of up to 100 printable characters; the rest is left out. Operator only. Errors: invalid_argument, busy.';

revoke execute on function referral.record_click from public;

grant execute on function referral.record_click to service_role;

create function referral.validate_code(code text)
returns setof referral.resolved_code
language plpgsql
stable
rows 1
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.validate_code(validate_code.code) as x;
end
$$;

comment on function referral.validate_code is
  'Says before redeeming whether the caller could: what a link shows, or the reason why not; `already_redeemed` too where this code was the one. Without an account it answers as resolve_code. Errors: invalid_code, code_not_found, code_inactive, code_suspended, code_expired, code_limit_reached, program_inactive, already_redeemed, self_referral, mutual_referral, new_users_only.';

revoke execute on function referral.validate_code from public;

grant execute on function referral.validate_code to anon, authenticated, service_role;

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
  'Redeems a code for the caller, once per program. The same code again answers with the same redemption. Provenance: typed, without a click; link, install_referrer and clipboard with the id of a click on this very code, not older than the organisation''s click_window, that backs no other redemption. Channel: lower-case label of up to 32 characters; the click''s own, where it has one, counts instead. Signed-in people. Errors: not_signed_in, anonymous_user, invalid_code, code_not_found, code_inactive, code_suspended, code_expired, code_limit_reached, program_inactive, already_redeemed, self_referral, mutual_referral, new_users_only, rate_limited, invalid_click, invalid_argument, busy.';

revoke execute on function referral.redeem_code from public;

grant execute on function referral.redeem_code to authenticated;

create function referral.redeem_sign_up_code()
returns setof referral.redeemed_code
language plpgsql
volatile
rows 1
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.redeem_sign_up_code() as x;
end
$$;

comment on function referral.redeem_sign_up_code is
  'Redeems the code that the caller gave at sign-up; no row where there is none, or none that could ever be redeemed; after an error it stays for another try. Signed-in people. Errors: not_signed_in, anonymous_user, rate_limited, code_suspended, program_inactive, busy.';

revoke execute on function referral.redeem_sign_up_code from public;

grant execute on function referral.redeem_sign_up_code to authenticated;

create function referral.my_redemption(org_id uuid, program_id uuid default null)
returns setof referral.redeemed_code
language plpgsql
stable
rows 1
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.my_redemption(my_redemption.org_id, my_redemption.program_id) as x;
end
$$;

comment on function referral.my_redemption is
  'The caller''s redemption in a program, the default one unless given, or no row. Errors: not_signed_in, anonymous_user.';

revoke execute on function referral.my_redemption from public;

grant execute on function referral.my_redemption to authenticated;

create function referral.has_redeemed(code text)
returns boolean
language sql
stable
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
  select referral_private.has_redeemed(code);
$$;

comment on function referral.has_redeemed is
  'Has the caller redeemed this very code? Errors: not_signed_in, anonymous_user.';

revoke execute on function referral.has_redeemed from public;

grant execute on function referral.has_redeemed to authenticated;

create function referral.my_referrals(org_id uuid, after uuid default null, page_size int default 100)
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
  return query select x.* from referral_private.my_referrals(my_referrals.org_id, my_referrals.after, my_referrals.page_size) as x;
end
$$;

comment on function referral.my_referrals is
  'The caller''s referrals in an organisation, newest first, in pages: after is the last redemption of the page before. Redemption, status, times and channel, never who. Errors: not_signed_in, anonymous_user, invalid_argument.';

revoke execute on function referral.my_referrals from public;

grant execute on function referral.my_referrals to authenticated;

create function referral.usage_for_code(code_id uuid, after uuid default null, page_size int default 100)
returns setof referral.redemptions
language sql
stable
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
  select x.* from referral_private.usage_for_code(code_id, after, page_size) as x;
$$;

comment on function referral.usage_for_code is
  'The redemptions of a code, newest first, in pages. Coordinators, admins and the operator. Errors: code_not_found.';

revoke execute on function referral.usage_for_code from public;

grant execute on function referral.usage_for_code to authenticated, service_role;

create function referral.usage_for_user(org_id uuid, user_id uuid, after uuid default null, page_size int default 100)
returns setof referral.redemptions
language sql
stable
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
  select x.* from referral_private.usage_for_user(org_id, user_id, after, page_size) as x;
$$;

comment on function referral.usage_for_user is
  'The redemptions that a person made in an organisation, newest first, in pages. Coordinators, admins and the operator. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

revoke execute on function referral.usage_for_user from public;

grant execute on function referral.usage_for_user to authenticated, service_role;

create function referral.code_uses(code_ids uuid[])
returns table (code_id uuid, uses_count bigint, max_uses int)
language plpgsql
stable
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select u.* from referral_private.code_uses(code_ids) as u;
end
$$;

comment on function referral.code_uses is
  'How often each of up to 1,000 codes was used, and how often it may be (null: without limit). Rows for the codes that the caller may see. Owners of codes, staff, the operator. Errors: not_signed_in, anonymous_user, invalid_argument.';

revoke execute on function referral.code_uses from public;

grant execute on function referral.code_uses to authenticated, service_role;

create function referral.code_usage_stats(code_id uuid)
returns table (total_uses bigint, unique_users bigint, last_used timestamptz, recent_users uuid[])
language sql
stable
rows 1
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
  select x.* from referral_private.code_usage_stats(code_id) as x;
$$;

comment on function referral.code_usage_stats is
  'How often a code was used, by how many, when last, and by whom lately: ten ids, for staff only. The owner, coordinators, admins and the operator. Errors: not_signed_in, anonymous_user, code_not_found.';

revoke execute on function referral.code_usage_stats from public;

grant execute on function referral.code_usage_stats to authenticated, service_role;

create function referral.code_clicks(code_id uuid, from_day date default null, to_day date default null)
returns table (day date, platform referral.click_platform, channel referral.click_channel, clicks int)
language sql
stable
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
  select d.* from referral_private.code_clicks(code_id, from_day, to_day) as d;
$$;

comment on function referral.code_clicks is
  'How many clicks on a code counted, per day in UTC, platform and channel, oldest first; no channel is null. From `from_day` to `to_day`, 31 days at most: the last 31 unless given. The code''s owner, coordinators, admins and the operator. Errors: not_signed_in, anonymous_user, code_not_found, invalid_argument.';

revoke execute on function referral.code_clicks from public;

grant execute on function referral.code_clicks to authenticated, service_role;

create function referral.confirm_redemption(redemption_id uuid, reason text default null)
returns referral.redemptions
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.decide(redemption_id, 'confirmed', reason) as x;
$$;

comment on function referral.confirm_redemption is
  'Confirms a redemption by decision of staff, whatever was paid. Coordinators, admins and the operator, but nobody for a redemption or a referral of their own. Errors: redemption_not_found, not_allowed, redemption_final, invalid_argument, busy.';

revoke execute on function referral.confirm_redemption from public;

grant execute on function referral.confirm_redemption to authenticated, service_role;

create function referral.reject_redemption(redemption_id uuid, reason text default null)
returns referral.redemptions
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.decide(redemption_id, 'rejected', reason) as x;
$$;

comment on function referral.reject_redemption is
  'Rejects a redemption for good; the person has still used their redemption in the program. Coordinators, admins and the operator. Errors: redemption_not_found, invalid_argument, busy.';

revoke execute on function referral.reject_redemption from public;

grant execute on function referral.reject_redemption to authenticated, service_role;

create function referral.expire_codes(max_rows int default 1000)
returns int
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select referral_private.expire_codes(max_rows);
$$;

comment on function referral.expire_codes is
  'Ends codes that are past their time, at most max_rows, and says how many; call again while it is the maximum. Operator only, by any scheduler.';

revoke execute on function referral.expire_codes from public;

grant execute on function referral.expire_codes to service_role;

create function referral.expire_redemptions(max_rows int default 1000)
returns int
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select referral_private.expire_redemptions(max_rows);
$$;

comment on function referral.expire_redemptions is
  'Marks pending redemptions whose conversion window is over, at most max_rows, and says how many. Operator only, by any scheduler.';

revoke execute on function referral.expire_redemptions from public;

grant execute on function referral.expire_redemptions to service_role;

create function referral.forget_sign_up_claims(max_rows int default 1000)
returns int
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '60s'
as $$
  select referral_private.forget_sign_up_claims(max_rows);
$$;

comment on function referral.forget_sign_up_claims is
  'Removes codes given at sign-up by people who did not come back within 90 days, at most `max_rows`; answers how many. For any scheduler. Operator.';

revoke execute on function referral.forget_sign_up_claims from public;

grant execute on function referral.forget_sign_up_claims to service_role;

create function referral.forget_counts(max_rows int default 1000)
returns int
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select referral_private.forget_counts(max_rows);
$$;

comment on function referral.forget_counts is
  'Removes rate-limit counts of past hours, at most max_rows, and says how many. Operator only, by any scheduler.';

revoke execute on function referral.forget_counts from public;

grant execute on function referral.forget_counts to service_role;

create function referral.maintain_clicks(retention interval default '120 days', max_rows int default 100000)
returns table (partitions_made int, partitions_dropped int, clicks_removed int, visitors_removed int)
language sql
volatile
rows 1
security invoker
set search_path = ''
set statement_timeout = '60s'
as $$
  select m.* from referral_private.maintain_clicks(retention, max_rows) as m;
$$;

comment on function referral.maintain_clicks is
  'Keeps the storage of clicks: partitions for this month and the next two, none for months that ended before the retention (90 days at least); no visitor of a past day, and no key of one. Removes at most max_rows rows each of clicks and visitors, and says how much it did. For any scheduler, at any time. Operator only. Errors: invalid_argument, busy.';

revoke execute on function referral.maintain_clicks from public;

grant execute on function referral.maintain_clicks to service_role;

create function referral.my_earnings(org_id uuid, owner_id uuid default null)
returns table (currency text, pending bigint, available bigint, in_transit bigint, paid bigint, owed bigint)
language plpgsql
stable
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.my_earnings(org_id, owner_id) as x;
end
$$;

comment on function referral.my_earnings is
  'What an owner of codes earned, per currency in minor units: pending (on hold), available, in transit, paid; owed is what they owe after money was taken back. The caller, or for staff and the operator anyone. Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

revoke execute on function referral.my_earnings from public;

grant execute on function referral.my_earnings to authenticated, service_role;

create function referral.my_statement(
  org_id uuid,
  owner_id uuid default null,
  after bigint default null,
  page_size int default 100
)
returns table (
  entry_id bigint,
  posted_at timestamptz,
  from_kind referral.account_kind,
  to_kind referral.account_kind,
  amount bigint,
  currency text,
  sale_id text,
  caused_by text
)
language plpgsql
stable
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.my_statement(org_id, owner_id, after, page_size) as x;
end
$$;

comment on function referral.my_statement is
  'Every entry of an owner''s accounts, newest first, page by page (`after` is the last entry id): an amount in minor units that went from one kind to another, `expense` being the organisation. The caller, or for staff and the operator anyone. Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

revoke execute on function referral.my_statement from public;

grant execute on function referral.my_statement to authenticated, service_role;

create function referral.org_liabilities(org_id uuid)
returns table (
  owner_id uuid,
  currency text,
  pending bigint,
  available bigint,
  in_transit bigint,
  paid bigint,
  owed bigint,
  reward bigint
)
language plpgsql
stable
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.org_liabilities(org_id) as x;
end
$$;

comment on function referral.org_liabilities is
  'What the organisation owes each owner of codes, and each referee (reward), per currency in minor units. Admins and the operator. Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

revoke execute on function referral.org_liabilities from public;

grant execute on function referral.org_liabilities to authenticated, service_role;

create function referral.explain_commission(org_id uuid, sale_id text, owner_id uuid default null)
returns setof referral.commission_explanation
language plpgsql
stable
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.explain_commission(org_id, sale_id, owner_id) as x;
end
$$;

comment on function referral.explain_commission is
  'Why a sale earned what it did: facts, terms, arithmetic, and the ids of the events that stated them. The owner sees their part; coordinators, admins and the operator everybody''s. Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

revoke execute on function referral.explain_commission from public;

grant execute on function referral.explain_commission to authenticated, service_role;

create function referral.record_payment(
  org_id uuid,
  provider text,
  payment_ref text,
  referee_id uuid,
  amount bigint,
  currency text,
  tax bigint default null,
  paid_at timestamptz default null,
  program_id uuid default null
)
returns setof referral.recorded_fact
language plpgsql
volatile
rows 1
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.record_payment(org_id, provider, payment_ref, referee_id, amount, currency, tax, paid_at, program_id) as x;
end
$$;

comment on function referral.record_payment is
  'Records a payment that did not go through Stripe. Provider: lower-case label; amount and tax in minor units, currency in lower case; paid_at is required. The same again answers duplicate. Operator. Errors: invalid_argument, organisation_not_found, record_conflict, busy, program_not_found.';

revoke execute on function referral.record_payment from public;

grant execute on function referral.record_payment to service_role;

create function referral.record_refund(org_id uuid, provider text, refund_ref text, payment_ref text, amount bigint)
returns setof referral.recorded_fact
language plpgsql
volatile
rows 1
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.record_refund(org_id, provider, refund_ref, payment_ref, amount) as x;
end
$$;

comment on function referral.record_refund is
  'Records a refund of a recorded payment, which may be recorded later. Operator. Errors: invalid_argument, organisation_not_found, record_conflict, busy.';

revoke execute on function referral.record_refund from public;

grant execute on function referral.record_refund to service_role;

create function referral.record_refund_reversed(org_id uuid, provider text, refund_ref text)
returns setof referral.recorded_fact
language plpgsql
volatile
rows 1
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.record_refund_reversed(org_id, provider, refund_ref) as x;
end
$$;

comment on function referral.record_refund_reversed is
  'Records that a refund failed after all. Operator. Errors: invalid_argument, organisation_not_found, record_conflict, busy.';

revoke execute on function referral.record_refund_reversed from public;

grant execute on function referral.record_refund_reversed to service_role;

create function referral.list_parked_events(max_rows int default 100, after_event text default null)
returns table (
  account text,
  livemode boolean,
  event_id text,
  type text,
  reason text,
  received_at timestamptz,
  event jsonb
)
language plpgsql
stable
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.list_parked_events(max_rows, after_event) as x;
end
$$;

comment on function referral.list_parked_events is
  'Events that could not be read when they came, oldest first, without personal fields, at most 1,000 a page; the next page begins after the last event_id of this one. Operator.';

revoke execute on function referral.list_parked_events from public;

grant execute on function referral.list_parked_events to service_role;

create function referral.resolve_parked_event(event jsonb)
returns table (event_id text, status referral.event_status)
language plpgsql
volatile
rows 1
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.resolve_parked_event(event) as x;
end
$$;

comment on function referral.resolve_parked_event is
  'Applies a parked event that can be read now, reduced as the webhook reduces it, and forgets what was parked; duplicate where it is not parked any more. Operator. Errors: invalid_event, busy.';

revoke execute on function referral.resolve_parked_event from public;

grant execute on function referral.resolve_parked_event to service_role;

create function referral.release_due_commissions(max_rows int default 500)
returns int
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '60s'
as $$
  select referral_private.release_due_commissions(max_rows);
$$;

comment on function referral.release_due_commissions is
  'Makes commissions available whose hold is over: up to max_rows sales (500 at most) of one Stripe account, and says how many; call again until it says 0. Operator only, by any scheduler.';

revoke execute on function referral.release_due_commissions from public;

grant execute on function referral.release_due_commissions to service_role;

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
