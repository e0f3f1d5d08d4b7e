-- Two schemas. `referral` is the public contract: tables that clients read under row-level security, and RPC
-- functions. `referral_private` is never exposed: the definer functions that do the work, and what only they touch.
create schema referral;

comment on schema referral is
  'referbase, public contract: tables to read under row-level security, and RPCs. No client role can write a table.';

create schema referral_private;

comment on schema referral_private is 'referbase, internal: never exposed through the Data API.';

-- Public functions run as their caller and policies call functions, so every client role must reach both schemas;
-- what it may execute there is granted function by function.
grant usage
on schema referral, referral_private
to anon, authenticated, service_role;
