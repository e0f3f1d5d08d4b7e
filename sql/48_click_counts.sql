-- How many clicks a code had: for its owner and for staff, from the counts per day.
create function referral_private.code_clicks(p_code_id uuid, p_from_day date, p_to_day date)
returns table (day date, platform referral.click_platform, channel referral.click_channel, clicks int)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_to_day date := coalesce(p_to_day, (clock_timestamp() at time zone 'utc')::date);
  v_from_day date := coalesce(p_from_day, v_to_day - 30);
  v_code referral.codes;
begin
  select * into v_code from referral.codes as c where c.id = p_code_id;
  if v_code.id is null
    or not coalesce(referral_private.acts_with_role(v_code.org_id, 'coordinator'), false)
    and v_code.referrer_id is distinct from referral_private.require_person()
  then
    perform referral_private.raise_error('code_not_found');
  end if;
  if v_from_day not between v_to_day - 30 and v_to_day then
    perform referral_private.raise_error('invalid_argument', 'from_day');
  end if;
  return query
  select d.day, d.platform, nullif(d.channel, '')::referral.click_channel, d.clicks
  from referral_private.click_days as d
  where d.org_id = v_code.org_id and d.code_id = p_code_id and d.day between v_from_day and v_to_day and d.clicks > 0
  order by d.day, d.platform, d.channel;
end
$$;

revoke execute on function referral_private.code_clicks from public;

grant execute on function referral_private.code_clicks to authenticated, service_role;
