-- What payers have bought that evidence has won.

-- Everything that payers have bought and were credited by. Their won sales are in the order in which they were paid,
-- and name their evidence by its number.
create type referral_private.settlement as (
  stripe_account text collate "C",
  livemode boolean,
  together referral_private.settled_payers,
  evidence referral_private.evidence[],
  won referral_private.won_sale[]
);

-- The settlement of these payers, as the facts say now. Of the evidence that counts, the first wins a sale, by the time
-- since which it is bound, its kind, and its id.
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
  v_sales referral_private.named_sale[];
  v_evidence referral_private.evidence[] := array(
    select e from referral_private.evidence_of(p_stripe_account, p_livemode, p_together) as e
  );
  v_candidates referral_private.candidate[];
  v_shared_since timestamptz := 'infinity';
  v_won referral_private.won_sale[] := '{}';
  v_rejections referral_private.rejection[];
begin
  if cardinality(v_evidence) = 0 then
    return (p_stripe_account, p_livemode, p_together, v_evidence, v_won)::referral_private.settlement;
  end if;
  -- Asked only where it matters: it reads all organisations of the Stripe account.
  if exists (select from unnest(v_evidence) as e where e.kind = 'payment_link') then
    v_shared_since := referral_private.shared_since(p_stripe_account);
  end if;
  v_sales := referral_private.sales_named(p_stripe_account, p_livemode, p_together.payers);
  v_evidence := referral_private.distinct_evidence(v_sales, v_evidence);
  v_candidates := array(
    select c from referral_private.candidates(v_sales, v_sales || array(
      select o from referral_private.other_payments(
        p_stripe_account, p_livemode, p_together, (select max(e.at) from unnest(v_evidence) as e)
      ) as o
    ), v_evidence) as c
  );
  v_won := array(select w from referral_private.winners_of(v_sales, v_evidence, v_candidates, v_shared_since) as w);
  v_rejections := referral_private.rejections_of(p_stripe_account, p_livemode, p_together, v_evidence);
  if cardinality(v_rejections) > 0 then
    v_won := array(
      select w from referral_private.without_rejected(v_sales, v_evidence, v_won, v_rejections) as w
    );
  end if;
  return (p_stripe_account, p_livemode, p_together, v_evidence, v_won)::referral_private.settlement;
end
$$;
