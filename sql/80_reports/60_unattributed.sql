-- Sales that credit nobody, with the reason: for the operator, who looks for purchases that should have earned.
create type referral.unattributed_sale as (
  stripe_account text,
  livemode boolean,
  sale_id text,
  payer_id text,
  paid_at timestamptz,
  currency text,
  paid bigint,
  reason text
);

-- Why each of these sales credits nobody: the refusal of its commission, `no_evidence` where nothing names a referrer,
-- `zero_amount` where what it earns is nothing, `settlement_pending` where it will earn when what waits is settled. The
-- payers of one account and mode are judged together.
create function referral_private.with_reasons(p_sales referral_private.sales[])
returns setof referral.unattributed_sale
language plpgsql
stable
rows 100
security invoker
set search_path = pg_catalog, pg_temp
-- Without statistics a page of keys looks like half of a table.
set enable_seqscan = off
as $$
begin
  return query
  with
    judged as (
      select p.stripe_account, p.livemode, t.sale_id,
        case
          when bool_or(t.amount > 0) then 'settlement_pending'
          else min(coalesce(t.refusal, 'zero_amount'))
        end as reason
      from (
        select s.stripe_account, s.livemode, array_agg(distinct s.payer_id) as payer_ids
        from unnest(p_sales) as s
        group by 1, 2
      ) as p
      cross join lateral referral_private.targets_at(p.stripe_account, p.livemode, p.payer_ids, clock_timestamp()) as t
      where t.kind not in ('reward_pending', 'reward_available')
      group by 1, 2, 3
    )
  select s.stripe_account, s.livemode, s.sale_id, s.payer_id, s.paid_at, s.currency, s.paid,
    coalesce(j.reason, 'no_evidence')
  from unnest(p_sales) as s
  left join judged as j
    on j.sale_id = s.sale_id and j.stripe_account = s.stripe_account and j.livemode = s.livemode
  order by s.paid_at desc, s.sale_id desc, s.stripe_account desc, s.livemode desc;
end
$$;

-- The newest sales before this one, or of all, of which nothing is posted.
create function referral_private.uncredited_sales(
  p_livemode boolean,
  p_stripe_account text,
  p_before referral.unattributed_sale,
  p_max_rows int
)
returns referral_private.sales[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- By time, until there are enough: all sales would be read else.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
  return array(
    select s
    from referral_private.sales as s
    where (p_livemode is null or s.livemode = p_livemode)
      and (p_stripe_account is null or s.stripe_account = p_stripe_account)
      and s.paid_at <= coalesce(p_before.paid_at, 'infinity')
      and (
        p_before.paid_at is null
        or (s.paid_at, s.sale_id, s.stripe_account, s.livemode)
          < (p_before.paid_at, p_before.sale_id, p_before.stripe_account, p_before.livemode)
      )
      -- What is wholly reversed credits nobody, and could not.
      and s.reversed < s.paid
      and not exists (
        select from referral_private.postings as p
        where p.sale_id = s.sale_id and p.stripe_account = s.stripe_account and p.livemode = s.livemode
          and p.amount > 0
      )
    order by s.paid_at desc, s.sale_id desc, s.stripe_account desc, s.livemode desc
    limit p_max_rows
  );
end
$$;

create function referral_private.list_unattributed(
  p_livemode boolean default null,
  p_stripe_account text default null,
  p_after jsonb default null,
  p_page_size int default 100
)
returns setof referral.unattributed_sale
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_after referral.unattributed_sale;
begin
  if p_after is not null then
    begin
      v_after := jsonb_populate_record(null::referral.unattributed_sale, p_after);
    exception
      when data_exception then
        perform referral_private.raise_error('invalid_argument', 'after: the last row of the page before');
    end;
    if num_nulls(v_after.paid_at, v_after.sale_id, v_after.stripe_account, v_after.livemode) > 0 then
      perform referral_private.raise_error('invalid_argument', 'after: the last row of the page before');
    end if;
  end if;
  return query
  select u.* from referral_private.with_reasons(referral_private.uncredited_sales(
    p_livemode, p_stripe_account, v_after, referral_private.page_size(p_page_size)
  )) as u;
end
$$;

comment on function referral_private.list_unattributed is
  'public: Returns sales that credit nobody, newest first, each with the reason: no_evidence (nothing named a
referrer by the time of the payment), zero_amount (what it earns is nothing), settlement_pending (it will earn when
what waits is settled), or the refusal of its commission, as explain_commission gives it. docs/earnings.md lists the
reasons. Sales that are wholly reversed are left out.

group: Take payments
livemode: true for live sales, false for those of test mode; both unless given
stripe_account: of this Stripe account, an empty text for the platform''s own; all unless given
after: the last row of the page before; its paid_at, sale_id, stripe_account and livemode count; none for the first page
page_size: rows in a page, 1 to 1,000
callers: the operator
errors: invalid_argument
timeout: 20s';

grant execute on function referral_private.list_unattributed to service_role;
