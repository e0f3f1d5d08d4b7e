-- What a won sale is owed, by the terms it was won under: the sum, its cap, and whether it is on hold.

-- Round half up of a times b over c, exactly.
create function referral_private.share(p_a numeric, p_b numeric, p_c numeric)
returns bigint
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return div(2 * p_a * p_b + p_c, 2 * p_c);
end
$$;

revoke execute on function referral_private.share from public;

-- What a sale's net is worth under a reward, before caps; null where its currency is not listed. Of a percentage only
-- what is left of the price without tax counts; a flat amount shrinks with what is left of the payment.
create function referral_private.reward_on(p_reward jsonb, p_sale referral_private.sales)
returns bigint
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_net numeric := p_sale.paid - p_sale.reversed;
begin
  if p_reward ->> 'kind' = 'flat' then
    return referral_private.share((p_reward -> 'amount' ->> p_sale.currency)::numeric, v_net, p_sale.paid);
  end if;
  if p_sale.total <= 0 or p_sale.total_excluding_tax is null then
    return referral_private.share(v_net, (p_reward ->> 'bps')::numeric, 10000);
  end if;
  return referral_private.share(
    v_net * greatest(p_sale.total_excluding_tax, 0), (p_reward ->> 'bps')::numeric, p_sale.total::numeric * 10000
  );
end
$$;

revoke execute on function referral_private.reward_on from public;

-- The commission of a program's terms for a referral of this rank: tiers, where there are some, set the percentage.
create function referral_private.commission_of_rank(p_terms jsonb, p_rank int)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  if p_terms ? 'tiers' then
    return (
      select jsonb_build_object('kind', 'percent', 'bps', t.tier -> 'bps')
      from jsonb_array_elements(p_terms -> 'tiers') as t (tier)
      where (t.tier ->> 'from')::int <= p_rank
      order by (t.tier ->> 'from')::int desc
      limit 1
    );
  end if;
  return p_terms -> 'commission';
end
$$;

revoke execute on function referral_private.commission_of_rank from public;

create type referral_private.target as (
  sale referral_private.sales,
  evidence referral_private.evidence,
  person text,
  owner_id uuid,
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

-- What each won sale is owed, to whom, and where that stands at a time.
create function referral_private.targets_of(p_won referral_private.won_sale[], p_now timestamptz)
returns setof referral_private.target
language plpgsql
stable
rows 100
security invoker
set search_path = ''
as $$
begin
  return query
  with
    -- Only where rank decides is it counted.
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
        greatest((p.sale).paid_at, (p.sale).warned_at) + make_interval(days => (p.terms ->> 'hold_days')::int) as available_at,
        (p.terms -> 'max_commission_per_referral' ->> (p.sale).currency)::bigint as cap,
        coalesce(p.refusal, case
          when p.terms -> 'recurrence' = '"once"' and p.place > 1 then 'recurrence'
          when jsonb_typeof(p.terms -> 'recurrence') = 'object' and (p.sale).sale_at >= (
            (p.first_at at time zone 'UTC' + make_interval(months => (p.terms -> 'recurrence' ->> 'months')::int) - interval '12 hours')
              at time zone 'UTC'
          ) then 'recurrence'
          when p.terms ? 'minimum_sale' and (p.sale).paid
            < coalesce((p.terms -> 'minimum_sale' ->> (p.sale).currency)::numeric, 'infinity') then 'minimum_sale'
          when p.rank > (p.terms ->> 'max_commissions_per_referrer')::int then 'max_commissions'
          when not (p.terms ? 'commission' or p.terms ? 'tiers') then 'no_commission'
          when p.terms ? 'max_commission_per_referral'
            and not p.terms -> 'max_commission_per_referral' ? (p.sale).currency then 'currency'
        end) as reason
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
  select s.sale, s.evidence, s.person, (s.evidence).owner_id,
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

revoke execute on function referral_private.targets_of from public;

-- What the facts say that these payers' sales, and those of all that are linked to them, are owed at a time.
create function referral_private.targets_at(p_account text, p_livemode boolean, p_payer_ids text[], p_now timestamptz)
returns setof referral_private.target
language plpgsql
stable
rows 100
security invoker
set search_path = ''
as $$
declare
  v_names referral_private.payer_name[] := referral_private.linked_payers(p_account, p_livemode, p_payer_ids);
  v_evidence referral_private.evidence[] := array(
    select e from referral_private.evidence_of(p_account, p_livemode, v_names) as e
  );
begin
  return query
  select t.*
  from referral_private.targets_of(
    array(select w from referral_private.won_sales(p_account, p_livemode, v_evidence) as w), p_now
  ) as t;
end
$$;

revoke execute on function referral_private.targets_at from public;
