-- Which evidence wins a sale, and why the sale earns nothing, where it earns nothing: a function of facts alone, so
-- that the order of events cannot matter.
create type referral_private.won_sale as (
  sale referral_private.sales,
  payer referral_private.payer,
  -- The winner; where there is none, the first that was passed over, for `refusal`.
  evidence referral_private.evidence,
  is_won boolean,
  is_forfeited boolean,
  -- Why the sale does not qualify, whatever its amount is.
  refusal text
);

-- When a Stripe account got its second organisation; the end of time where it has one or none. From then on an address
-- that a buyer can edit cannot say whose sale it is.
create function referral_private.shared_since(p_stripe_account text)
returns timestamptz
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce((
    select o.stripe_account_since from referral.organisations as o
    where coalesce(o.stripe_account_id, '') = p_stripe_account
    order by o.stripe_account_since
    offset 1
    limit 1
  ), 'infinity');
end
$$;

-- Where sales that name no organisation go.
create type referral_private.destination as (sale_id text collate "C", org_id uuid, is_unknown boolean);

-- They go where the first sale of their subscription went that went to one, else to the organisation of the evidence
-- that was bound when they were paid. Without any, later evidence says so in the same way. Where it is of several
-- organisations, nobody knows.
create function referral_private.destinations(p_candidates referral_private.candidate[], p_shared_since timestamptz)
returns setof referral_private.destination
language plpgsql
stable
rows 100
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  with
    pointed as (
      select (c.sale).sale as sale, (c.sale).org_id as named,
        array_agg(distinct (c.evidence).org_id)
          filter (where e.counts and c.bound_at <= ((c.sale).sale).paid_at) as bound,
        array_agg(distinct (c.evidence).org_id) filter (where e.counts) as late
      from unnest(p_candidates) as c
      cross join lateral (
        select c.passed_over is null
          and not ((c.evidence).kind = 'payment_link' and (c.evidence).at >= p_shared_since) as counts
      ) as e
      group by 1, 2
    ),
    gone as (
      select (p.sale).sale_id, (p.sale).subscription_id, (p.sale).paid_at, p.named,
        coalesce(p.named, case when cardinality(p.bound) = 1 then p.bound[1] end) as org_id, p.bound,
        case when cardinality(p.late) = 1 then p.late[1] end as late_org_id, p.late
      from pointed as p
    ),
    firsts as (
      select distinct on (is_late, g.subscription_id) is_late, g.subscription_id, g.paid_at, g.sale_id,
        case when is_late then g.late_org_id else g.org_id end as org_id
      from gone as g
      cross join (values (false), (true)) as which (is_late)
      where g.subscription_id is not null and case when is_late then g.late_org_id else g.org_id end is not null
      order by is_late, g.subscription_id, g.paid_at, g.sale_id
    )
  select g.sale_id, coalesce(g.named, f.org_id, g.org_id, l.org_id, g.late_org_id),
    coalesce(g.named, f.org_id, g.org_id, l.org_id) is null and cardinality(coalesce(g.bound, g.late)) > 1
  from gone as g
  left join firsts as f
    on not f.is_late and f.subscription_id = g.subscription_id and (f.paid_at, f.sale_id) <= (g.paid_at, g.sale_id)
  left join firsts as l
    on l.is_late and l.subscription_id = g.subscription_id and (l.paid_at, l.sale_id) <= (g.paid_at, g.sale_id)
    and g.bound is null;
end
$$;

-- Whether staff rejected the referral that this evidence won the sale for.
create function referral_private.is_rejected(
  p_sale referral_private.sales,
  p_payer referral_private.payer,
  p_evidence referral_private.evidence
)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  -- A rejection may have named the payer's account, or a guest's payment that has become a customer's.
  v_names text[] := p_sale.object_ids || array(
    select p_payer.payer_id
    union all
    select a.customer_account from referral_private.customer_accounts as a
    where a.customer_id = p_payer.payer_id and a.stripe_account = p_sale.stripe_account
      and a.livemode = p_sale.livemode
  );
begin
  return exists (
    select from referral.decisions as d
    where d.org_id = p_evidence.org_id and d.program_id = p_evidence.program_id and d.kind = 'reject'
      and d.withdrawn_at is null
      and d.person_id in (p_payer.person, case when p_evidence.redemption_id is not null then p_evidence.referee_id end)
  ) or exists (
    select from referral_private.decision_payers as w
    join referral.decisions as d on d.org_id = w.org_id and d.id = w.decision_id
    where w.payer_id = any (v_names) and w.stripe_account = p_sale.stripe_account and w.livemode = p_sale.livemode
      and w.org_id = p_evidence.org_id and d.program_id = p_evidence.program_id and d.kind = 'reject'
      and d.withdrawn_at is null
  );
end
$$;

-- Why a sale that evidence has won does not qualify under its terms; null where it does.
create function referral_private.qualification_refusal(
  p_sale referral_private.sales,
  p_payer referral_private.payer,
  p_evidence referral_private.evidence
)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_terms jsonb := p_evidence.terms;
begin
  return case
    when referral_private.is_rejected(p_sale, p_payer, p_evidence) then 'rejected'
    when p_evidence.earner_id is null then 'no_earner'
    when p_sale.is_guest and v_terms -> 'guests' = 'false' then 'guest'
    when v_terms ? 'minimum_sale' and p_sale.paid
      < coalesce((v_terms -> 'minimum_sale' ->> p_sale.currency)::numeric, 'infinity') then 'minimum_sale'
    when v_terms ? 'max_commission_per_referral'
      and not v_terms -> 'max_commission_per_referral' ? p_sale.currency then 'currency'
    when not v_terms ? 'tiers' and v_terms -> 'commission' ->> 'kind' = 'flat'
      and not v_terms -> 'commission' -> 'amount' ? p_sale.currency then 'currency'
  end;
end
$$;

-- The sales of these payers that have evidence, each with its winner: of the evidence that counts, the first by the
-- time since which it is bound, its kind, and its id.
create function referral_private.won_sales(
  p_stripe_account text,
  p_livemode boolean,
  p_together referral_private.settled_payers,
  p_evidence referral_private.evidence[]
)
returns setof referral_private.won_sale
language plpgsql
stable
rows 100
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_sales referral_private.named_sale[];
  v_evidence referral_private.evidence[];
  v_candidates referral_private.candidate[];
  v_shared_since timestamptz := 'infinity';
begin
  if cardinality(p_evidence) = 0 then
    return;
  end if;
  -- Asked only where it matters: it reads all organisations of the Stripe account.
  if exists (select from unnest(p_evidence) as e where e.kind = 'payment_link') then
    v_shared_since := referral_private.shared_since(p_stripe_account);
  end if;
  v_sales := referral_private.sales_named(p_stripe_account, p_livemode, p_together.payers);
  v_evidence := referral_private.distinct_evidence(v_sales, p_evidence);
  v_candidates := array(
    select c from referral_private.candidates(v_sales, v_sales || array(
      select o from referral_private.other_payments(
        p_stripe_account, p_livemode, p_together, (select max(e.at) from unnest(v_evidence) as e)
      ) as o
    ), v_evidence) as c
  );
  return query
  with
    judged as (
      select c.*, d.org_id, case when d.is_unknown then 'organisation_unknown' else c.passed_over end as unwon
      from unnest(v_candidates) as c
      join referral_private.destinations(v_candidates, v_shared_since) as d
        on d.sale_id = ((c.sale).sale).sale_id
      where d.org_id = (c.evidence).org_id or d.is_unknown
        -- Nor does what a buyer can edit stand for a sale that is no organisation's.
        or d.org_id is null and c.passed_over is not null
    ),
    chosen as (
      select distinct on (((j.sale).sale).sale_id) j.*
      from judged as j
      order by ((j.sale).sale).sale_id, j.unwon is not null, j.bound_at, (j.evidence).kind, (j.evidence).evidence_id,
        (j.evidence).at
    )
  select (c.sale).sale, (c.sale).payer, c.evidence, c.unwon is null, c.is_forfeited, coalesce(
    c.unwon, referral_private.qualification_refusal((c.sale).sale, (c.sale).payer, c.evidence)
  )
  from chosen as c;
end
$$;

-- Everything that these payers have bought and were credited by.
create type referral_private.settlement as (
  together referral_private.settled_payers,
  evidence referral_private.evidence[],
  won referral_private.won_sale[]
);

-- The settlement of these payers, as the facts say now.
create function referral_private.settlement_of(
  p_stripe_account text,
  p_livemode boolean,
  p_together referral_private.settled_payers
)
returns referral_private.settlement
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_settlement referral_private.settlement;
begin
  v_settlement.together := p_together;
  v_settlement.evidence := array(
    select e from referral_private.evidence_of(p_stripe_account, p_livemode, v_settlement.together) as e
  );
  v_settlement.won := array(
    select w from referral_private.won_sales(
      p_stripe_account, p_livemode, v_settlement.together, v_settlement.evidence
    ) as w
  );
  return v_settlement;
end
$$;
