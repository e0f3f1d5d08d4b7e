-- How a click is recorded: one read says what the click meets; then its visitor, the click and the day's count are
-- written. The code's limit comes first, and past it nothing at all is stored; the row that clicks on a code may share
-- is locked last.

-- The campaign parameters among these, each one line of 1 to 100 characters; null where there is none.
create function referral_private.utm_of(p_parameters jsonb)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key text;
  v_value text;
  v_utm jsonb;
begin
  foreach v_key in array '{utm_source,utm_medium,utm_campaign,utm_term,utm_content}'::text[] loop
    continue when not p_parameters ? v_key or jsonb_typeof(p_parameters -> v_key) <> 'string';
    v_value := p_parameters ->> v_key;
    if length(v_value) between 1 and 100 and referral_private.is_one_line(v_value) then
      v_utm := coalesce(v_utm, '{}') || jsonb_build_object(v_key, v_value);
    end if;
  end loop;
  return v_utm;
end
$$;

-- Stores a click: the click itself, its visitor's count and the day's. Returns whether it counts: a visitor's first
-- click of the day does. False, and nothing is stored, where as many of the visitor's are stored as the organisation
-- keeps. A click takes the code's first count of the day, or one of 15 others while another click has it.
create function referral_private.store_click(
  p_org_id uuid,
  p_code_id uuid,
  p_click_id uuid,
  p_clicked_at timestamptz,
  p_platform referral.click_platform,
  p_channel referral.click_channel,
  p_utm jsonb,
  p_visitor bytea,
  p_clicks_per_visitor int
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_day date := p_clicked_at at time zone 'utc';
  v_channel text := coalesce(p_channel::text, '');
  v_counted boolean;
  v_slot int;
begin
  insert into referral_private.visitors as v (org_id, visitor, day, clicks)
  values (p_org_id, p_visitor, v_day, 1)
  on conflict on constraint visitors_pkey do update
  set clicks = v.clicks + 1
  where v.clicks < p_clicks_per_visitor
  returning v.clicks = 1 into v_counted;
  if not found then
    return false;
  end if;
  insert into referral_private.clicks (org_id, code_id, click_id, clicked_at, counted, platform, channel, utm)
  values (p_org_id, p_code_id, p_click_id, p_clicked_at, v_counted, p_platform, p_channel, p_utm);
  v_slot := case
    when pg_try_advisory_xact_lock(hashtextextended('referral.click_slot:' || p_code_id, 0)) then 0
    else 1 + pg_backend_pid() % 15
  end;
  -- Nearly always there is a row. An update changes it at once, while `on conflict` locks it first.
  update referral_private.click_days as d
  set clicks = d.clicks + v_counted::int, stored = d.stored + 1
  where d.org_id = p_org_id and d.code_id = p_code_id and d.day = v_day
    and d.platform = p_platform and d.channel = v_channel and d.slot = v_slot;
  if not found then
    insert into referral_private.click_days as d (org_id, code_id, day, platform, channel, slot, clicks, stored)
    values (p_org_id, p_code_id, v_day, p_platform, v_channel, v_slot, v_counted::int, 1)
    on conflict on constraint click_days_pkey do update
    set clicks = d.clicks + excluded.clicks, stored = d.stored + 1;
  end if;
  return v_counted;
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
  v_channels constant text[] := '{qr,share,email,sms,whatsapp,social,web,print}';
  v_now timestamptz;
  v_org_id uuid;
  v_code_id uuid;
  v_clicks_per_visitor int;
  v_is_full boolean;
  v_counted boolean;
  v_day_key bytea;
begin
  if p_click_id is null then
    perform referral_private.raise_error('invalid_argument', 'click_id: required');
  elsif coalesce(p_platform not in ('ios', 'android', 'web'), true) then
    perform referral_private.raise_error('invalid_argument', 'platform: ios, android or web');
  end if;
  -- The edge function may send a click twice: the lock lets the second call find the first.
  perform pg_advisory_xact_lock(hashtextextended('referral.click:' || p_click_id, 0));
  v_now := clock_timestamp();
  select c.org_id, c.id, o.clicks_per_visitor,
    (
      select coalesce(sum(d.stored), 0) from referral_private.click_days as d
      where d.org_id = c.org_id and d.code_id = c.id and d.day = (v_now at time zone 'utc')::date
    ) >= o.clicks_per_code,
    (
      select k.counted from referral_private.clicks as k
      where k.org_id = c.org_id and k.click_id = p_click_id
        and k.clicked_at between v_now - interval '24 hours' and v_now
    ),
    (select k.key from referral_private.day_keys as k where k.day = (v_now at time zone 'utc')::date)
  into v_org_id, v_code_id, v_clicks_per_visitor, v_is_full, v_counted, v_day_key
  from referral.codes as c
  join referral.organisations as o on o.id = c.org_id
  join referral.programs as p on p.id = c.program_id
  where c.code_key = referral_private.normalise_code(p_code)
    and referral_private.code_refusal(c.status, c.expires_at, c.redeemable_until, o.active and p.active) is null
    and (c.quota_id is null or referral_private.has_free_use(c.org_id, c.quota_id, coalesce(c.chain_id, c.id), null));
  if v_counted is not null or v_is_full or not found then
    return coalesce(v_counted, false);
  end if;
  return referral_private.store_click(
    v_org_id, v_code_id, p_click_id, v_now, p_platform::referral.click_platform,
    case when p_channel = any (v_channels) then p_channel::referral.click_channel end, referral_private.utm_of(p_utm),
    referral_private.visitor_of(
      coalesce(v_day_key, referral_private.day_key((v_now at time zone 'utc')::date)),
      v_code_id, p_click_id, p_address, p_user_agent
    ),
    v_clicks_per_visitor
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
