-- Health of what comes of codes: redemptions that should have expired, and sales that credit nobody. Each check is of
-- one organisation, or, where none is given, of all together.

-- Pending redemptions whose conversion window has been over for an hour, which the job leaves pending if it does not
-- run.
create function referral_private.check_pending_past_window(p_org_id uuid)
returns referral.health_check
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- In the order of the index.
set enable_seqscan = off
set enable_sort = off
as $$
declare
  v_hour_ago constant timestamptz := clock_timestamp() - interval '1 hour';
  v_found bigint;
begin
  select count(*) into v_found
  from (
    select
    from referral.program_terms as t
    cross join lateral (
      select from referral.redemptions as r
      where r.program_id = t.program_id and r.terms_version = t.version
        and r.status = 'pending'
        and r.redeemed_at < v_hour_ago - (t.terms ->> 'conversion_window_days')::int * interval '24 hours'
      order by r.redeemed_at
      offset 0
    ) as r
    where p_org_id is null or t.org_id = p_org_id
    limit 1000
  ) as due;
  return referral_private.checked(
    'pending_past_window', case
      when v_found > 0
        then 'Redemptions that are pending for more than an hour after their conversion window: '
          || referral_private.counted(v_found) || '.'
    end,
    'No redemption is pending after its conversion window.',
    'In the SQL editor: select * from referral.run_maintenance(max_seconds => 30)', nullif(v_found, 0)
  );
end
$$;

-- How many sales of the last 30 days credit somebody, and how many nobody, as list_unattributed lists them.
create type referral_private.credited_sales as (credited bigint, uncredited bigint, looked_at bigint);

-- Of an organisation these are the sales that name it, and those that name none on a Stripe account that is its alone.
-- No index leads to the sales of one organisation: the newest 10,000 of all are looked at. Live ones count, unless
-- there is
-- none of them.
create function referral_private.recent_sales(p_organisation referral.organisations)
returns referral_private.credited_sales
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- In the order of the index.
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_account constant text := referral_private.account_of_one(p_organisation);
  v_since constant timestamptz := clock_timestamp() - interval '720 hours';
  v_sales referral_private.credited_sales;
begin
  with
    newest as materialized (
      select d.* from referral_private.sales as d
      where d.paid_at >= v_since
      order by d.paid_at desc, d.sale_id desc
      limit 10000
    ),
    meant as materialized (
      select newest.* from newest
      where newest.reversed < newest.paid and (
        p_organisation.id is null or newest.org_id = p_organisation.id
        or newest.org_id is null and newest.stripe_account = v_account
      )
    )
  select least(count(*) filter (where s.is_credited), 1000), least(count(*) filter (where not s.is_credited), 1000),
    (select count(*) from newest)
  into v_sales
  from (
    select exists (
        select from referral_private.postings as p
        where p.sale_id = m.sale_id and p.stripe_account = m.stripe_account and p.livemode = m.livemode and p.amount > 0
      ) as is_credited
    from meant as m
    where m.livemode = (select bool_or(l.livemode) from meant as l)
  ) as s;
  return v_sales;
end
$$;

-- Sales that credit nobody are no fault: not every customer was referred. It is one if codes are redeemed and no sale
-- credits anybody: then the purchases probably do not say whose they are.
create function referral_private.check_unattributed(p_organisation referral.organisations)
returns referral.health_check
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_sales constant referral_private.credited_sales := referral_private.recent_sales(p_organisation);
  -- In this order, so that the index of the organisation is read, and of all together one row.
  v_has_redemption constant boolean := case
    when p_organisation.id is null then exists (select from referral.redemptions)
    else exists (
      select from (
        select from referral.redemptions as r where r.org_id = p_organisation.id order by r.redeemed_at desc limit 1
      ) as newest
    )
  end;
  v_looked_at constant text := case
    when v_sales.looked_at = 10000 then ' Only the newest 10,000 sales of the project were looked at.' else ''
  end;
begin
  return referral_private.checked(
    'unattributed', case
      when v_sales.uncredited > 0 and v_sales.credited = 0 and v_has_redemption
        then 'None of the sales of the last 30 days credits anybody: ' || referral_private.counted(v_sales.uncredited)
          || '.' || v_looked_at
    end,
    'Sales of the last 30 days that credit nobody: ' || referral_private.counted(v_sales.uncredited)
      || '; that credit somebody: ' || referral_private.counted(v_sales.credited) || '.' || v_looked_at,
    'In the SQL editor, for the reasons: select * from referral.list_unattributed()', v_sales.uncredited
  );
end
$$;
