-- How many clicks a code had, from the counts per day.
create type referral.day_clicks as (
  day date,
  platform referral.click_platform,
  channel referral.click_channel,
  clicks int
);

create function referral_private.code_clicks(p_code_id uuid, p_from_day date default null, p_to_day date default null)
returns setof referral.day_clicks
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code referral.codes := referral_private.require_readable_code(p_code_id);
  v_code_ids uuid[] := referral_private.codes_shown_with(v_code);
  v_to_day date := coalesce(p_to_day, (clock_timestamp() at time zone 'utc')::date);
  v_from_day date := coalesce(p_from_day, v_to_day - 30);
begin
  if v_from_day not between v_to_day - 30 and v_to_day then
    perform referral_private.raise_error('invalid_argument', 'from_day: to_day, or up to 30 days before it');
  end if;
  return query
  select d.day, d.platform, nullif(d.channel, '')::referral.click_channel, sum(d.clicks)::int
  from referral_private.click_days as d
  where d.org_id = v_code.org_id and d.code_id = any (v_code_ids) and d.day between v_from_day and v_to_day
    and d.clicks > 0
  group by d.day, d.platform, d.channel
  order by d.day, d.platform, d.channel;
end
$$;

comment on function referral_private.code_clicks is
  'public: Returns how many clicks on a code counted, per day (UTC), platform and channel, oldest day first; a missing
channel is null. To its referrer the clicks are those of its chain: the code and all that it was rotated from and into.

group: Follow a link
code_id: the code
from_day: 30 days before to_day unless given, and not earlier
to_day: today unless given
callers: the referrer, coordinators, admins and the operator
errors: not_signed_in, anonymous_user, code_not_found, invalid_argument
timeout: 5s';

grant execute on function referral_private.code_clicks to authenticated, service_role;
