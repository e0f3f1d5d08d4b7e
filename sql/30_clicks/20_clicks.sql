-- A click says that somebody followed a code's link. It proves where a redemption came from, and is forgotten after
-- some months; how many there were, per day, is kept.
create type referral.click_platform as enum ('ios', 'android', 'web');

create type referral.click_channel as enum ('qr', 'share', 'email', 'sms', 'whatsapp', 'social', 'web', 'print');

-- By month in UTC. The months' partitions are made and dropped by maintain_clicks; until one is made, the default
-- partition takes its clicks. Codes are never deleted, so that no foreign key is needed, which every click would
-- check.
create table referral_private.clicks (
  org_id uuid not null,
  code_id uuid not null,
  click_id uuid not null,
  clicked_at timestamptz not null,
  counted boolean not null,
  platform referral.click_platform not null,
  channel referral.click_channel,
  utm jsonb,
  constraint clicks_pkey primary key (org_id, click_id, clicked_at)
)
partition by range (clicked_at);

alter table referral_private.clicks enable row level security;

create table referral_private.clicks_default partition of referral_private.clicks default;

alter table referral_private.clicks_default enable row level security;

-- How many clicks a code had on a day in UTC, so that no report scans the clicks: those that count, and all that are
-- stored. Clicks at the same time count in rows of their own, by slot, and readers add them up. A page has room for a
-- row's next version, so that counting again makes no new entry in the index.
create table referral_private.click_days (
  org_id uuid not null,
  code_id uuid not null,
  day date not null,
  platform referral.click_platform not null,
  -- The label of a click_channel, or nothing.
  channel text collate "C" not null,
  clicks int not null,
  stored int not null,
  slot int not null default 0,
  constraint click_days_pkey primary key (org_id, code_id, day, platform, channel, slot),
  constraint click_days_are_of_a_code
    foreign key (org_id, code_id) references referral.codes (org_id, id)
      on delete restrict
)
with (fillfactor = 70);

alter table referral_private.click_days enable row level security;

-- The click on this very code that proves a redemption now; null where no id is given. Raises `invalid_click`.
create function referral_private.click_of(p_code referral.codes, p_click_id uuid)
returns referral_private.clicks
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_window interval;
  v_click referral_private.clicks;
begin
  if p_click_id is null then
    return null;
  end if;
  select o.click_window into strict v_window from referral.organisations as o where o.id = p_code.org_id;
  select * into v_click
  from referral_private.clicks as k
  where k.org_id = p_code.org_id and k.click_id = p_click_id
    and k.clicked_at between referral_private.later(v_now, -v_window) and v_now and k.code_id = p_code.id;
  if not found then
    perform referral_private.raise_error('invalid_click');
  end if;
  return v_click;
end
$$;
