-- Targets: what the facts say is owed for each won sale, to whom, and where it stands at a time.

-- The kinds of ledger accounts: the organisation's expense, and what an earner has.
create type referral.account_kind as enum ('expense', 'pending', 'available', 'in_transit', 'paid', 'reward');

create type referral_private.target as (
  sale referral_private.sales,
  evidence referral_private.evidence,
  person text,
  earner_id uuid,
  kind referral.account_kind,
  amount bigint,
  terms jsonb,
  rank int,
  reward jsonb,
  uncapped bigint,
  cap bigint,
  available_at timestamptz,
  refusal text
);

create function referral_private.targets_of(p_won referral_private.won_sale[], p_now timestamptz)
returns setof referral_private.target
language plpgsql
stable
rows 100
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  with
    -- Ranks are counted only where they decide.
    ranked as (
      select r.evidence, r.person, referral_private.rank_of(r.evidence, r.livemode, r.person) as rank
      from (
        select distinct w.evidence, w.person, (w.sale).livemode
        from unnest(p_won) as w
        where w.terms ?| '{tiers,max_commissions_per_referrer}'::text[]
      ) as r
    ),
    placed as (
      select w.sale, w.evidence, w.person, w.terms, w.refusal, ranked.rank,
        row_number() over referral as place,
        first_value((w.sale).sale_at) over referral as first_at
      from unnest(p_won) as w
      left join ranked on ranked.evidence = w.evidence and ranked.person = w.person
      window referral as (
        partition by (w.evidence).program_id, w.person order by (w.sale).sale_at, (w.sale).sale_id
      )
    ),
    judged as (
      select p.*, referral_private.commission_of_rank(p.terms, p.rank) as reward,
        referral_private.available_at(p.terms, p.sale) as available_at,
        (p.terms -> 'max_commission_per_referral' ->> (p.sale).currency)::bigint as cap,
        coalesce(
          p.refusal, referral_private.commission_refusal(p.terms, p.sale, p.place, p.first_at, p.rank)
        ) as reason
      from placed as p
    ),
    rewarded as (
      select j.*, case when j.reason is null then referral_private.reward_on(j.reward, j.sale) end as uncapped
      from judged as j
    ),
    summed as (
      select r.*, sum(coalesce(r.uncapped, 0)) over (
        partition by (r.evidence).program_id, r.person, (r.sale).currency order by (r.sale).sale_at, (r.sale).sale_id
      ) as prefix
      from rewarded as r
    )
  select s.sale, s.evidence, s.person, (s.evidence).earner_id,
    (case when s.available_at <= p_now then 'available' else 'pending' end)::referral.account_kind,
    case
      when s.uncapped is null then 0
      when s.cap is null then s.uncapped
      else least(s.cap, s.prefix) - least(s.cap, s.prefix - s.uncapped)
    end::bigint,
    s.terms, s.rank, s.reward, s.uncapped, s.cap, s.available_at,
    coalesce(s.reason, case when s.uncapped is null then 'currency' end)
  from summed as s
  union all
  select j.sale, j.evidence, j.person, (j.evidence).referee_id, 'reward',
    coalesce(referral_private.reward_on(j.terms -> 'referee_reward', j.sale), 0),
    j.terms, j.rank, j.terms -> 'referee_reward', null, null, null, null
  from judged as j
  where j.place = 1 and j.refusal is null and j.terms ? 'referee_reward' and (j.evidence).referee_id is not null;
end
$$;

-- The targets of these payers' sales, and of those of all payers that are linked to them, at a time.
create function referral_private.targets_at(
  p_stripe_account text,
  p_livemode boolean,
  p_payer_ids text[],
  p_now timestamptz
)
returns setof referral_private.target
language plpgsql
stable
rows 100
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_carriers referral_private.payer_carrier[] := referral_private.linked_payers(
    p_stripe_account, p_livemode, p_payer_ids
  );
  v_evidence referral_private.evidence[] := array(
    select e from referral_private.evidence_of(p_stripe_account, p_livemode, v_carriers) as e
  );
begin
  return query
  select t.*
  from referral_private.targets_of(
    array(select w from referral_private.won_sales(p_stripe_account, p_livemode, v_evidence) as w), p_now
  ) as t;
end
$$;
