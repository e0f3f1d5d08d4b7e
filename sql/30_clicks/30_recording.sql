-- How a click is recorded: the code's limit comes first, and past it nothing at all is stored; then the visitor; the
-- row that all clicks on a code share is locked last.

-- The campaign parameters among these, each one line of 1 to 100 characters; null where there is none.
create function referral_private.utm_of(p_parameters jsonb)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
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
      and referral_private.is_one_line(given.value #>> '{}')
  );
end
$$;

-- Stores a click: the click itself, its visitor's count and the day's. Returns whether it counts: a visitor's first
-- click of the day does. False, and nothing is stored, where as many of the visitor's are stored as the organisation
-- keeps.
create function referral_private.store_click(p_click referral_private.clicks, p_visitor bytea, p_clicks_per_visitor int)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_day date := p_click.clicked_at at time zone 'utc';
begin
  insert into referral_private.visitors as v (org_id, code_id, visitor, day, clicks)
  values (p_click.org_id, p_click.code_id, p_visitor, v_day, 1)
  on conflict on constraint visitors_pkey do update
  set clicks = v.clicks + 1
  where v.clicks < p_clicks_per_visitor
  returning v.clicks = 1 into p_click.counted;
  if not found then
    return false;
  end if;
  insert into referral_private.clicks select p_click.*;
  insert into referral_private.click_days as d (org_id, code_id, day, platform, channel, clicks, stored)
  values (
    p_click.org_id, p_click.code_id, v_day, p_click.platform, coalesce(p_click.channel::text, ''),
    p_click.counted::int, 1
  )
  on conflict on constraint click_days_pkey do update
  set clicks = d.clicks + excluded.clicks, stored = d.stored + 1;
  return p_click.counted;
end
$$;

create function referral_private.record_click(
  p_code text,
  p_click_id uuid,
  p_address text default null,
  p_user_agent text default null,
  p_platform text default 'web',
  p_channel text default null,
  p_utm jsonb default null
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_code referral.codes;
  v_organisation referral.organisations;
  v_click referral_private.clicks;
  v_day date;
begin
  if p_click_id is null then
    perform referral_private.raise_error('invalid_argument', 'click_id: required');
  end if;
  if coalesce(p_platform <> all (enum_range(null::referral.click_platform)::text[]), true) then
    perform referral_private.raise_error('invalid_argument', 'platform: ios, android or web');
  end if;
  if p_channel = any (enum_range(null::referral.click_channel)::text[]) then
    v_click.channel := p_channel;
  end if;
  if not exists (select from referral_private.resolve_code(p_code)) then
    return false;
  end if;
  select * into strict v_code from referral.codes as c where c.code_key = referral_private.normalise_code(p_code);
  select * into strict v_organisation from referral.organisations as o where o.id = v_code.org_id;

  -- The edge function may send a click twice: the lock lets the second call find the first.
  perform pg_advisory_xact_lock(hashtextextended('referral.click:' || p_click_id, 0));
  v_click.clicked_at := clock_timestamp();
  select k.counted into v_click.counted
  from referral_private.clicks as k
  where k.org_id = v_code.org_id and k.click_id = p_click_id
    and k.clicked_at between v_click.clicked_at - interval '24 hours' and v_click.clicked_at;
  if found then
    return v_click.counted;
  end if;

  v_day := v_click.clicked_at at time zone 'utc';
  if (
    select coalesce(sum(d.stored), 0) from referral_private.click_days as d
    where d.org_id = v_code.org_id and d.code_id = v_code.id and d.day = v_day
  ) >= v_organisation.clicks_per_code then
    return false;
  end if;
  v_click.org_id := v_code.org_id;
  v_click.code_id := v_code.id;
  v_click.click_id := p_click_id;
  v_click.platform := p_platform;
  v_click.utm := referral_private.utm_of(p_utm);
  return referral_private.store_click(
    v_click, referral_private.visitor_of(v_day, v_code.id, p_click_id, p_address, p_user_agent),
    v_organisation.clicks_per_visitor
  );
end
$$;

comment on function referral_private.record_click is
  'public: Records a click on a code, once per click id. True: the click counts. False: the visitor has clicked on this
code before on this day (UTC), or nothing was stored, because the code cannot be redeemed or as many clicks are stored
as the organisation allows. Address and user agent tell visitors apart and are not stored.

group: Follow a link
code: the text as typed
click_id: a UUID that the caller made
address: the visitor''s address
user_agent: the visitor''s user agent
platform: ios, android or web
channel: a value of the enum click_channel; any other is stored as none
utm: utm_source, utm_medium, utm_campaign, utm_term and utm_content, up to 100 printable characters each; other keys
  are left out
callers: the operator
errors: invalid_argument, busy
timeout: 5s';

grant execute on function referral_private.record_click to service_role;
