-- An organisation is a tenant: it owns programs, codes and what comes of them. Its destinations are the only places
-- that a referral link can lead to.
create table referral.organisations (
  id uuid not null default gen_random_uuid(),
  slug text collate "C" not null,
  name text not null,
  active boolean not null default true,
  stripe_account_id text collate "C",
  stripe_account_since timestamptz not null default now(),
  link_origin text collate "C",
  web_destination text,
  ios_destination text,
  android_destination text,
  android_package text,
  ios_app_ids text[] not null default '{}',
  android_fingerprints text[] not null default '{}',
  code_length int not null default 8,
  codes_per_member int not null default 20,
  batch_rows_per_day int not null default 100000,
  max_uses_cap int not null default 100000,
  rotation_grace interval not null default interval '7 days',
  rotations_per_day int not null default 10,
  redemptions_per_user int not null default 20,
  redemptions_per_address int not null default 200,
  click_window interval not null default interval '30 days',
  clicks_per_visitor int not null default 20,
  clicks_per_code int not null default 50000,
  time_zone text not null default 'UTC',
  refuse_look_alikes boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint organisations_pkey primary key (id),
  constraint organisations_slug_is_unique unique (slug),
  constraint organisations_stripe_account_is_unique unique (stripe_account_id),
  constraint organisations_link_origin_is_unique unique (link_origin),
  constraint organisations_slug_is_a_label check (slug ~ '^[a-z0-9](-?[a-z0-9]){0,62}$'),
  constraint organisations_name_is_1_to_120 check (length(name) between 1 and 120),
  constraint organisations_name_is_one_line check (referral_private.is_one_line(name)),
  constraint organisations_stripe_account_is_an_id check (stripe_account_id ~ '^acct_[A-Za-z0-9]{1,64}$'),
  constraint organisations_link_origin_is_https
    check (referral_private.is_https_url(link_origin) and link_origin collate "C" ~ '^https://[a-z0-9.-]+(:[0-9]+)?$'),
  constraint organisations_web_destination_is_a_page check (referral_private.is_page_url(web_destination)),
  constraint organisations_ios_destination_is_https check (referral_private.is_https_url(ios_destination)),
  constraint organisations_android_destination_is_https check (referral_private.is_https_url(android_destination)),
  constraint organisations_android_package_is_a_name
    check (android_package ~ '^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+$' and length(android_package) <= 255),
  constraint organisations_ios_app_ids_are_ids
    check (referral_private.are_all_like(ios_app_ids, '[A-Z0-9]{10}\.[A-Za-z0-9][A-Za-z0-9.-]{0,154}')),
  constraint organisations_android_fingerprints_are_sha256
    check (referral_private.are_all_like(android_fingerprints, '([0-9A-F]{2}:){31}[0-9A-F]{2}')),
  constraint organisations_code_length_is_8_to_16 check (code_length between 8 and 16),
  constraint organisations_codes_per_member_is_positive check (codes_per_member between 1 and 10000),
  constraint organisations_batch_rows_per_day_is_bounded check (batch_rows_per_day between 0 and 10000000),
  constraint organisations_max_uses_cap_is_positive check (max_uses_cap between 1 and 1000000000),
  constraint organisations_rotations_per_day_is_positive check (rotations_per_day between 1 and 1000),
  constraint organisations_redemptions_per_user_is_positive check (redemptions_per_user between 1 and 1000000),
  constraint organisations_redemptions_per_address_is_positive check (redemptions_per_address between 1 and 1000000),
  constraint organisations_clicks_per_visitor_is_positive check (clicks_per_visitor between 1 and 1000),
  constraint organisations_clicks_per_code_is_positive check (clicks_per_code between 1 and 10000000),
  -- update_organisation takes only zones that the database knows.
  constraint organisations_time_zone_is_a_name check (time_zone ~ '^[A-Za-z0-9_+/-]{1,64}$'),
  constraint organisations_click_window_is_a_quarter_at_most
    check (
      click_window between interval '1 hour' and interval '90 days'
      and extract(year from click_window) = 0
      and extract(month from click_window) = 0
    ),
  constraint organisations_rotation_grace_is_a_quarter_at_most
    check (
      rotation_grace between interval '0' and interval '90 days'
      and extract(year from rotation_grace) = 0
      and extract(month from rotation_grace) = 0
    )
);

comment on table referral.organisations is
  'Tenants with their settings. Read by coordinators and admins of the organisation. Written by create_organisation and
update_organisation.';

-- What an argument that a constraint refuses must be.
comment on constraint organisations_slug_is_a_label on referral.organisations is
  'slug: lower-case letters and digits, with single hyphens between them';
comment on constraint organisations_name_is_1_to_120 on referral.organisations is 'name: 1 to 120 characters';
comment on constraint organisations_name_is_one_line on referral.organisations is
  'name: one line, without control and bidirectional characters';
comment on constraint organisations_stripe_account_is_an_id on referral.organisations is
  'stripe_account_id: acct_ and what follows at Stripe';
comment on constraint organisations_link_origin_is_unique on referral.organisations is
  'link_origin: a host that no other organisation has; to move a host, set it to null there first';
comment on constraint organisations_link_origin_is_https on referral.organisations is
  'link_origin: https:// and a host in lower case, and nothing after it but a port';
comment on constraint organisations_web_destination_is_a_page on referral.organisations is
  'web_destination: an https address, or http://localhost or http://127.0.0.1 with any port';
comment on constraint organisations_ios_destination_is_https on referral.organisations is
  'ios_destination: an https address';
comment on constraint organisations_android_destination_is_https on referral.organisations is
  'android_destination: an https address';
comment on constraint organisations_android_package_is_a_name on referral.organisations is
  'android_package: such as com.example.app';
comment on constraint organisations_ios_app_ids_are_ids on referral.organisations is
  'ios_app_ids: each such as ABCDE12345.com.example.app';
comment on constraint organisations_android_fingerprints_are_sha256 on referral.organisations is
  'android_fingerprints: each a SHA-256 such as AB:CD:…';
comment on constraint organisations_code_length_is_8_to_16 on referral.organisations is 'code_length: 8 to 16';
comment on constraint organisations_codes_per_member_is_positive on referral.organisations is
  'codes_per_member: 1 to 10,000';
comment on constraint organisations_batch_rows_per_day_is_bounded on referral.organisations is
  'batch_rows_per_day: 0 to 10,000,000';
comment on constraint organisations_max_uses_cap_is_positive on referral.organisations is
  'max_uses_cap: 1 to 1,000,000,000';
comment on constraint organisations_rotations_per_day_is_positive on referral.organisations is
  'rotations_per_day: 1 to 1,000';
comment on constraint organisations_redemptions_per_user_is_positive on referral.organisations is
  'redemptions_per_user: 1 to 1,000,000';
comment on constraint organisations_redemptions_per_address_is_positive on referral.organisations is
  'redemptions_per_address: 1 to 1,000,000';
comment on constraint organisations_clicks_per_visitor_is_positive on referral.organisations is
  'clicks_per_visitor: 1 to 1,000';
comment on constraint organisations_clicks_per_code_is_positive on referral.organisations is
  'clicks_per_code: 1 to 10,000,000';
comment on constraint organisations_click_window_is_a_quarter_at_most on referral.organisations is
  'click_window: 1 hour to 90 days, without months and years';
comment on constraint organisations_rotation_grace_is_a_quarter_at_most on referral.organisations is
  'rotation_grace: up to 90 days, without months and years';
comment on constraint organisations_time_zone_is_a_name on referral.organisations is
  'time_zone: a name that Postgres knows, such as Europe/Berlin';

alter table referral.organisations enable row level security;

create policy organisations_staff_reads on referral.organisations
for select
to authenticated
using (id = any (referral_private.org_ids_with_role('coordinator')));

grant select on referral.organisations to authenticated, service_role;
