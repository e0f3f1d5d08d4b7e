-- Which evidence wins a sale, and why it earns nothing where it does not: a function of the facts alone, so that the order
-- of events cannot matter.
create type referral_private.won_sale as (
  sale referral_private.sales,
  evidence referral_private.evidence,
  person text,
  terms jsonb,
  refusal text
);

-- The sales that this evidence wins: each by the first that is not later than the sale. A referral is refused where its first
-- sale is past the conversion window, unless staff confirmed it. The evidence is all of payers that are linked to each other.
create function referral_private.won_sales(p_account text, p_livemode boolean, p_evidence referral_private.evidence[])
returns setof referral_private.won_sale
language plpgsql
stable
rows 100
security invoker
set search_path = ''
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
      where s.account = p_account and s.livemode = p_livemode and s.payer_id = any (v_payers)
      order by s.sale_id, e.at, e.priority, e.evidence_id
    ),
    placed as (
      select w.*, t.terms, r.decision,
        min((w.sale).sale_at) over (partition by (w.evidence).evidence_id, w.person) as first_at
      from won as w
      join referral.program_terms as t
        on t.org_id = (w.evidence).org_id and t.program_id = (w.evidence).program_id and t.version = (w.evidence).terms_version
      left join referral.redemptions as r on r.org_id = (w.evidence).org_id and r.id = (w.evidence).redemption_id
    )
  select p.sale, p.evidence, p.person, p.terms,
    case
      when (p.evidence).refusal is not null then (p.evidence).refusal
      when (p.evidence).owner_id is null then 'no_owner'
      when (p.sale).is_guest and p.terms -> 'guests' = 'false' then 'guest'
      when p.decision is distinct from 'confirmed' and p.first_at
        > (p.evidence).redeemed_at + make_interval(days => (p.terms ->> 'conversion_window_days')::int)
        then 'conversion_window'
    end
  from placed as p;
end
$$;

revoke execute on function referral_private.won_sales from public;
