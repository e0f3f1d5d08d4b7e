-- What payers have bought that evidence has won, and what of it qualifies.

-- Why a sale that evidence has won does not qualify under its terms; null where it does.
create function referral_private.qualification_refusal(
  p_sale referral_private.sales,
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
  v_won referral_private.won_sale[];
  v_rejections referral_private.rejection[];
  v_rejected text[] := '{}';
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
  v_won := array(select w from referral_private.winners_of(v_candidates, v_shared_since) as w);
  v_rejections := referral_private.rejections_of(p_stripe_account, p_livemode, p_together, v_evidence);
  if cardinality(v_rejections) > 0 then
    v_rejected := array(select referral_private.sales_rejected(v_won, v_rejections));
  end if;
  return query
  select w.sale, w.payer, w.evidence, w.is_won, w.is_forfeited, coalesce(
    w.refusal, case when (w.sale).sale_id in (select unnest(v_rejected)) then 'rejected' end,
    referral_private.qualification_refusal(w.sale, w.evidence)
  )
  from unnest(v_won) as w;
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
