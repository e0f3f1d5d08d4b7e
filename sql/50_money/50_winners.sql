-- Which evidence wins a sale, and why the sale earns nothing, where it earns nothing: a function of facts alone, so
-- that the order of events cannot matter.
create type referral_private.won_sale as (
  sale referral_private.sales,
  evidence referral_private.evidence,
  person text,
  terms jsonb,
  is_confirmed boolean,
  first_at timestamptz,
  refusal text
);

-- Why a sale that evidence wins earns nothing under these terms; null where it can earn. `p_first_at` is when the
-- referral's first sale by this evidence was.
create function referral_private.referral_refusal(
  p_terms jsonb,
  p_sale referral_private.sales,
  p_evidence referral_private.evidence,
  p_is_confirmed boolean,
  p_first_at timestamptz
)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when p_evidence.refusal is not null then p_evidence.refusal
    when p_terms ? 'new_users_only_days'
      and p_evidence.oldest < p_evidence.at - (p_terms ->> 'new_users_only_days')::int * interval '24 hours'
      then 'new_users_only'
    when p_evidence.earner_id is null then 'no_earner'
    when p_sale.is_guest and p_terms -> 'guests' = 'false' then 'guest'
    when not p_is_confirmed
      and p_first_at > p_evidence.redeemed_at + (p_terms ->> 'conversion_window_days')::int * interval '24 hours'
      then 'conversion_window'
  end;
end
$$;

-- The sales that this evidence wins: each by the first evidence that is not later than the sale. A referral is
-- refused where its first sale is past the conversion window, unless staff confirmed it. The evidence must be all of
-- payers that are linked to each other.
create function referral_private.won_sales(
  p_stripe_account text,
  p_livemode boolean,
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
  v_payers text[] := array(select distinct e.payer_id from unnest(p_evidence) as e);
begin
  if cardinality(v_payers) = 0 then
    return;
  end if;
  return query
  with
    won as (
      select distinct on (s.sale_id) s as sale, e as evidence, coalesce(e.referee_id::text, s.payer_id) as person
      from referral_private.sales as s
      join unnest(p_evidence) as e on e.payer_id = s.payer_id and e.at <= s.sale_at
        and (s.org_id is null or s.org_id = e.org_id)
        and (s.program_id is null or s.program_id = e.program_id)
      where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.payer_id = any (v_payers)
      order by s.sale_id, e.at, e.kind, e.evidence_id
    ),
    placed as (
      select w.*, t.terms, coalesce(r.decision = 'confirmed', false) as is_confirmed,
        min((w.sale).sale_at) over (partition by (w.evidence).evidence_id, w.person) as first_at
      from won as w
      join referral.program_terms as t
        on t.org_id = (w.evidence).org_id and t.program_id = (w.evidence).program_id
        and t.version = (w.evidence).terms_version
      left join referral.redemptions as r
        on r.org_id = (w.evidence).org_id and r.id = (w.evidence).redemption_id
    )
  select p.sale, p.evidence, p.person, p.terms, p.is_confirmed, p.first_at,
    referral_private.referral_refusal(p.terms, p.sale, p.evidence, p.is_confirmed, p.first_at)
  from placed as p;
end
$$;
