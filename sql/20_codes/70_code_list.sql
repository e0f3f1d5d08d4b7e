-- The list of an organisation's codes, newest first, in pages: `p_after` is the code that ended the page before.

create function referral_private.list_codes(
  p_org_id uuid,
  p_referrer_id uuid default null,
  p_program_id uuid default null,
  p_batch_id uuid default null,
  p_usable boolean default false,
  p_after uuid default null,
  p_page_size int default 100
)
returns setof referral.codes
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_custom_plan'
-- In the order of an index, up to a page.
set enable_bitmapscan = off
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_is_staff constant boolean := referral_private.acts_with_role(p_org_id, 'coordinator');
  v_referrer_id constant uuid :=
    case when v_is_staff then p_referrer_id else referral_private.require_person() end;
  v_after referral.codes;
  v_code referral.codes;
begin
  if p_org_id is null then
    perform referral_private.raise_error('invalid_argument', 'org_id: required');
  elsif v_is_staff then
    perform referral_private.require_role(p_org_id, 'coordinator');
  end if;
  if p_after is not null then
    select c.* into v_after
    from referral.codes as c
    where c.org_id = p_org_id and c.id = p_after and (v_is_staff or c.referrer_id = v_referrer_id);
    if not found then
      perform referral_private.raise_error('invalid_argument', 'after: the id of the last row of the page before');
    end if;
  end if;
  for v_code in
    select c.* from referral.codes as c
    where c.org_id = p_org_id and (v_is_staff or c.referrer_id = v_referrer_id)
      and (p_referrer_id is null or c.referrer_id = p_referrer_id)
      and case
        when v_referrer_id is null
          then (p_program_id is null or c.program_id = p_program_id) and (p_batch_id is null or c.batch_id = p_batch_id)
        -- A referrer has few codes: no other index is as good.
        else
          c.program_id is not distinct from coalesce(p_program_id, c.program_id)
          and c.batch_id is not distinct from coalesce(p_batch_id, c.batch_id)
      end
      and (not coalesce(p_usable, false) or c.status = 'active' and coalesce(c.expires_at > v_now, true))
      and c.created_at <= coalesce(v_after.created_at, 'infinity')
      and (v_after.id is null or c.created_at < v_after.created_at or c.id > v_after.id)
    order by c.created_at desc, c.id
    limit referral_private.page_size(p_page_size)
  loop
    -- Past its expiry it is expired, also before the job has stored that.
    if v_code.status in ('active', 'suspended') and v_code.expires_at <= v_now then
      v_code.status := 'expired';
    end if;
    return next v_code;
  end loop;
end
$$;

comment on function referral_private.list_codes is
  'public: Returns codes of an organisation, newest first: all of them to staff, to anybody else their own.

group: Have a code
org_id: the organisation
referrer_id: only this referrer''s
program_id: only this program''s
batch_id: only this batch''s
usable: leaves out codes that are suspended, rotated, ended or expired
after: the last code of the page before; none for the first page
page_size: rows in a page, 1 to 1,000
callers: signed-in people and the operator
errors: not_signed_in, anonymous_user, organisation_not_found, invalid_argument
timeout: 5s';

grant execute on function referral_private.list_codes to authenticated, service_role;
