-- `expired` is never final: a sale inside the conversion window that is delivered late still confirms the redemption.
create function referral_private.expire_redemptions(p_max_rows int default 1000)
returns int
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
-- Without statistics, and with those of a table that was emptied: rows are found by the index in whose order they come,
-- of each version of the terms those whose window is over, and updated by their place.
set enable_seqscan = off
set enable_sort = off
as $$
declare
  -- A constant, because clock_timestamp() in a condition keeps Postgres from using an index.
  v_now constant timestamptz := clock_timestamp();
  v_expired int;
begin
  update referral.redemptions as r
  set status = 'expired'
  where r.ctid = any (
    array(
      select d.ctid
      from referral.program_terms as t
      cross join lateral (
        select r.ctid from referral.redemptions as r
        where r.program_id = t.program_id and r.terms_version = t.version
          and r.status = 'pending'
          and r.redeemed_at < v_now - (t.terms ->> 'conversion_window_days')::int * interval '24 hours'
        order by r.redeemed_at
        offset 0
      ) as d
      limit greatest(p_max_rows, 0)
      for no key update of d skip locked
    )
  );
  get diagnostics v_expired = row_count;
  return v_expired;
end
$$;

comment on function referral_private.expire_redemptions is
  'public: Marks pending redemptions whose conversion window is over and returns how many. Call again while that is
max_rows. A sale within the window that is heard of later still confirms the redemption.

group: Run jobs
max_rows: how many rows at most in this call
callers: the operator
errors: none
timeout: 10s';

grant execute on function referral_private.expire_redemptions to service_role;
