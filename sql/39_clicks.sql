-- A click says that somebody followed a code's link. It proves where a redemption came from, and is forgotten after some
-- months; how many there were, per day, is kept.
create type referral.click_platform as enum ('ios', 'android', 'web');

create type referral.click_channel as enum ('qr', 'share', 'email', 'sms', 'whatsapp', 'social', 'web', 'print');

-- By month in UTC. The months' partitions are made and dropped by maintain_clicks; until one is made, the default partition
-- takes its clicks. Codes are never deleted, so that no foreign key is needed, which every click would check.
create table referral_private.clicks (
  org_id uuid not null,
  code_id uuid not null,
  click_id uuid not null,
  clicked_at timestamptz not null,
  visitor bytea not null,
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

-- How many clicks a code had on a day in UTC, so that nobody has to scan the clicks: those that count, and all that are stored.
create table referral_private.click_days (
  org_id uuid not null,
  code_id uuid not null,
  day date not null,
  platform referral.click_platform not null,
  -- The label of a click_channel, or nothing.
  channel text not null,
  clicks int not null,
  stored int not null,
  constraint click_days_pkey primary key (org_id, code_id, day, platform, channel),
  constraint click_days_are_of_a_code
    foreign key (org_id, code_id) references referral.codes (org_id, id)
      on delete restrict
);

alter table referral_private.click_days enable row level security;

-- The campaign parameters among these, each of 1 to 100 printable characters; null where there is none.
create function referral_private.utm_of(p_parameters jsonb)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  if jsonb_typeof(p_parameters) <> 'object' then
    return null;
  end if;
  return (
    select jsonb_object_agg(given.key, given.value)
    from jsonb_each(p_parameters) as given
    where given.key in ('utm_source', 'utm_medium', 'utm_campaign', 'utm_term', 'utm_content')
      and jsonb_typeof(given.value) = 'string'
      and length(given.value #>> '{}') between 1 and 100
      and given.value #>> '{}' !~ '[\u0001-\u001F\u007F-\u009F\u2028\u2029]'
  );
end
$$;

revoke execute on function referral_private.utm_of from public;

-- Stores a click and says whether it counts. The code's limit comes first: past it, nothing at all is stored. The row that all
-- clicks on a code share is locked last.
create function referral_private.record_click(
  p_code text,
  p_click_id uuid,
  p_address text,
  p_user_agent text,
  p_platform text,
  p_channel text,
  p_utm jsonb
)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_channel referral.click_channel;
  v_now timestamptz;
  v_day date;
  v_code referral.codes;
  v_organisation referral.organisations;
  v_visitor bytea;
  v_counted boolean;
begin
  if p_click_id is null then
    perform referral_private.raise_error('invalid_argument', 'click_id');
  end if;
  if coalesce(p_platform <> all (enum_range(null::referral.click_platform)::text[]), true) then
    perform referral_private.raise_error('invalid_argument', 'platform');
  end if;
  if p_channel = any (enum_range(null::referral.click_channel)::text[]) then
    v_channel := p_channel;
  end if;
  if not exists (select from referral_private.resolve_code(p_code)) then
    return false;
  end if;
  select * into strict v_code from referral.codes as c where c.code_key = referral_private.normalise_code(p_code);
  select * into strict v_organisation from referral.organisations as o where o.id = v_code.org_id;

  -- The function may send a click twice: the lock lets the second find the first.
  perform pg_advisory_xact_lock(hashtextextended('referral.click:' || p_click_id, 0));
  v_now := clock_timestamp();
  v_day := v_now at time zone 'utc';
  select k.counted into v_counted
  from referral_private.clicks as k
  where k.org_id = v_code.org_id and k.click_id = p_click_id and k.clicked_at between v_now - interval '1 day' and v_now;
  if found then
    return v_counted;
  end if;

  if (
    select coalesce(sum(d.stored), 0) from referral_private.click_days as d
    where d.org_id = v_code.org_id and d.code_id = v_code.id and d.day = v_day
  ) >= v_organisation.clicks_per_code then
    return false;
  end if;
  v_visitor := referral_private.visitor_of(v_day, v_code.id, p_click_id, p_address, p_user_agent);
  insert into referral_private.visitors as v (org_id, code_id, visitor, day, clicks)
  values (v_code.org_id, v_code.id, v_visitor, v_day, 1)
  on conflict on constraint visitors_pkey do update
  set clicks = v.clicks + 1
  where v.clicks < v_organisation.clicks_per_visitor
  returning v.clicks = 1 into v_counted;
  if not found then
    return false;
  end if;

  insert into referral_private.clicks (org_id, code_id, click_id, clicked_at, visitor, counted, platform, channel, utm)
  values (
    v_code.org_id, v_code.id, p_click_id, v_now, v_visitor, v_counted, p_platform::referral.click_platform, v_channel,
    referral_private.utm_of(p_utm)
  );
  insert into referral_private.click_days as d (org_id, code_id, day, platform, channel, clicks, stored)
  values (
    v_code.org_id, v_code.id, v_day, p_platform::referral.click_platform, coalesce(v_channel::text, ''), v_counted::int, 1
  )
  on conflict on constraint click_days_pkey do update
  set clicks = d.clicks + excluded.clicks, stored = d.stored + 1;
  return v_counted;
exception
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.record_click from public;

grant execute on function referral_private.record_click to service_role;

-- The click on this very code that proves a redemption now, or nothing where none is given. Raises `invalid_click`.
create function referral_private.click_of(p_code referral.codes, p_click_id uuid)
returns referral_private.clicks
language plpgsql
stable
security invoker
set search_path = ''
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
  where k.org_id = p_code.org_id and k.click_id = p_click_id and k.clicked_at between v_now - v_window and v_now
    and k.code_id = p_code.id;
  if not found then
    perform referral_private.raise_error('invalid_click');
  end if;
  return v_click;
end
$$;

revoke execute on function referral_private.click_of from public;
