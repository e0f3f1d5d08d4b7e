-- Release: commissions and rewards whose hold is over go from pending to available. A call handles one Stripe account
-- and few sales, so that the Stripe account lock is held shortly. Payers that wait to be settled are released then.

-- Payers of a mode of which so many sales are due.
create type referral_private.due_payers as (livemode boolean, payers text[], sales int);

-- The payers of the sales of a Stripe account that have been due longest, of those that do not wait to be settled.
create function referral_private.due_payers(p_stripe_account text, p_now timestamptz, p_max_rows int)
returns setof referral_private.due_payers
language plpgsql
stable
rows 2
security invoker
set search_path = pg_catalog, pg_temp
-- However many are due, those that have been longest are looked up one by one.
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
  return query
  select due.livemode, array_agg(distinct due.payer_id), count(distinct due.sale_id)::int
  from (
    select p.livemode, p.sale_id, s.payer_id
    from referral_private.postings as p
    join referral_private.sales as s
      on s.stripe_account = p.stripe_account and s.livemode = p.livemode and s.sale_id = p.sale_id
    where p.stripe_account = p_stripe_account and p.kind in ('pending', 'reward_pending') and p.amount > 0
      and p.due_at <= p_now
      and not exists (
        select from referral_private.to_settle as q
        where q.payer_id = s.payer_id and q.stripe_account = s.stripe_account and q.livemode = s.livemode
      )
    order by p.due_at
    limit p_max_rows
  ) as due
  group by due.livemode;
end
$$;

create function referral_private.release_due_commissions(p_max_rows int default 250)
returns int
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  -- A constant, because clock_timestamp() in a condition keeps Postgres from using an index.
  v_now constant timestamptz := clock_timestamp();
  v_max_rows constant int := least(greatest(p_max_rows, 0), referral_private.settled_at_once());
  v_stripe_account text;
  v_passed text[] := '{}';
  v_due referral_private.due_payers;
  v_released int := 0;
begin
  perform referral_private.require_read_committed();
  loop
    select p.stripe_account into v_stripe_account
    from referral_private.postings as p
    where p.kind in ('pending', 'reward_pending') and p.amount > 0 and p.due_at <= v_now
      and p.stripe_account <> all (v_passed)
    order by p.due_at
    limit 1;
    exit when not found;
    v_passed := v_passed || v_stripe_account;
    -- A Stripe account that is busy is left for the next call.
    continue when not pg_try_advisory_xact_lock(referral_private.stripe_account_lock_key(v_stripe_account));
    for v_due in
      select d.* from referral_private.due_payers(v_stripe_account, v_now, v_max_rows) as d
    loop
      begin
        perform referral_private.settle(v_stripe_account, v_due.livemode, v_due.payers, '{}', 'release');
      exception
        when others then
          if referral_private.is_passing_error(sqlstate) then
            raise;
          end if;
          -- Who waits is settled apart from who cannot be.
          perform referral_private.settle_later(v_stripe_account, v_due.livemode, v_due.payers, 'release');
      end;
      v_released := v_released + v_due.sales;
    end loop;
    exit when v_released > 0;
  end loop;
  return v_released;
end
$$;

comment on function referral_private.release_due_commissions is
  'public: Makes commissions and rewards available whose hold is over, of one Stripe account, and returns how many sales
it looked at. Call again until it returns 0.

group: Run jobs
max_rows: how many sales at most, 250 at most
callers: the operator
errors: busy
timeout: 60s';

grant execute on function referral_private.release_due_commissions to service_role;
