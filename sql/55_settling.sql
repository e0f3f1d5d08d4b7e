-- What the facts mean: which sale is won by whom, what it earns, and where that stands. The ledger then posts the
-- difference to what it has. A function of the facts and the time alone, so that the order of events cannot matter.

-- A referral: what one person, or payer without a user, bought in a program, as far as one owner of codes is credited. A
-- projection, kept because the rank of a referral among its owner's decides tiers and the number of commissions.
create table referral_private.referrals (
  org_id uuid not null,
  program_id uuid not null,
  owner_id uuid not null,
  person text not null,
  account text not null,
  livemode boolean not null,
  payer_id text not null,
  first_sale_at timestamptz not null,
  constraint referrals_pkey primary key (org_id, program_id, owner_id, livemode, person),
  constraint referrals_are_of_a_program
    foreign key (org_id, program_id) references referral.programs (org_id, id)
      on delete restrict
);

create index referrals_by_rank on referral_private.referrals (
  org_id,
  program_id,
  owner_id,
  livemode,
  first_sale_at,
  person
);

create index referrals_by_payer on referral_private.referrals (account, livemode, payer_id);

alter table referral_private.referrals enable row level security;

create type referral_private.won_sale as (
  sale referral_private.sales,
  evidence referral_private.evidence,
  person text,
  terms jsonb,
  refusal text
);

-- Each of these payers' sales with the evidence that wins it: the first that is not later than the sale. A referral is
-- refused where its first sale is past the conversion window, unless staff confirmed it. The payers are all that are
-- linked to each other.
create function referral_private.won_sales(
  p_account text,
  p_livemode boolean,
  p_payer_ids text[],
  p_evidence referral_private.evidence[]
)
returns setof referral_private.won_sale
language plpgsql
stable
rows 100
security invoker
set search_path = ''
as $$
begin
  return query
  with
    won as (
      select distinct on (s.sale_id) s as sale, e as evidence, coalesce(e.referee_id::text, s.payer_id) as person
      from referral_private.sales as s
      join unnest(p_evidence) as e on e.payer_id = s.payer_id and e.at <= s.sale_at
        and (s.org_id is null or s.org_id = e.org_id)
        and (s.program_id is null or s.program_id = e.program_id)
      where s.account = p_account and s.livemode = p_livemode and s.payer_id = any (p_payer_ids)
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

-- A referral's place among its owner's in the program, by the time of its first sale.
create function referral_private.rank_of(p_evidence referral_private.evidence, p_livemode boolean, p_person text)
returns int
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select count(*) + 1
    from referral_private.referrals as own
    join referral_private.referrals as f
      on f.org_id = own.org_id and f.program_id = own.program_id and f.owner_id = own.owner_id
        and f.livemode = own.livemode and (f.first_sale_at, f.person) < (own.first_sale_at, own.person)
    where own.org_id = p_evidence.org_id and own.program_id = p_evidence.program_id
      and own.owner_id = p_evidence.owner_id and own.livemode = p_livemode and own.person = p_person
  );
end
$$;

revoke execute on function referral_private.rank_of from public;

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

-- Brings the referrals of these payers up to the facts. Where rank decides, returns the payers of those that may have
-- crossed a boundary by it: with n referrals that came, went or moved, the n on either side of each.
create function referral_private.rank_referrals(
  p_account text,
  p_livemode boolean,
  p_payer_ids text[],
  p_won referral_private.won_sale[]
)
returns text[]
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_changed jsonb;
begin
  with
    current as (
      select (w.evidence).org_id, (w.evidence).program_id, (w.evidence).owner_id, w.person,
        min((w.sale).payer_id) as payer_id, min((w.sale).sale_at) as first_sale_at
      from unnest(p_won) as w
      where w.refusal is null
      group by 1, 2, 3, 4
    ),
    gone as (
      delete from referral_private.referrals as f
      where f.account = p_account and f.livemode = p_livemode and f.payer_id = any (p_payer_ids)
        and not exists (
          select from current as c
          where c.org_id = f.org_id and c.program_id = f.program_id and c.owner_id = f.owner_id and c.person = f.person
        )
      returning f.org_id, f.program_id, f.owner_id
    ),
    made as (
      insert into referral_private.referrals as f (
        org_id, program_id, owner_id, person, account, livemode, payer_id, first_sale_at
      )
      select c.org_id, c.program_id, c.owner_id, c.person, p_account, p_livemode, c.payer_id, c.first_sale_at
      from current as c
      on conflict on constraint referrals_pkey do update
      set payer_id = excluded.payer_id, first_sale_at = excluded.first_sale_at
      where (f.payer_id, f.first_sale_at) is distinct from (excluded.payer_id, excluded.first_sale_at)
      returning f.org_id, f.program_id, f.owner_id
    )
  select jsonb_agg(to_jsonb(changed)) into v_changed
  from (
    select all_changes.*, count(*) as times from (select * from gone union all select * from made) as all_changes group by 1, 2, 3
  ) as changed;
  if v_changed is null then
    return '{}';
  end if;
  return array(
    select distinct near.payer_id
    from jsonb_to_recordset(v_changed) as changed (org_id uuid, program_id uuid, owner_id uuid, times int)
    cross join lateral referral_private.boundaries_of(changed.org_id, changed.program_id) as boundary
    cross join lateral (
      select f.payer_id from referral_private.referrals as f
      where f.org_id = changed.org_id and f.program_id = changed.program_id and f.owner_id = changed.owner_id
        and f.livemode = p_livemode
      order by f.first_sale_at, f.person
      offset greatest(boundary - 1 - changed.times, 0)
      limit 2 * changed.times
    ) as near
  );
end
$$;

revoke execute on function referral_private.rank_referrals from public;

-- The ranks at which something changes, in any version of a program's terms.
create function referral_private.boundaries_of(p_org_id uuid, p_program_id uuid)
returns setof int
language plpgsql
stable
rows 5
security invoker
set search_path = ''
as $$
begin
  return query
  select distinct b.boundary
  from referral.program_terms as t
  cross join lateral (
    select (tier ->> 'from')::int as boundary from jsonb_array_elements(t.terms -> 'tiers') as tier
    union all
    select (t.terms ->> 'max_commissions_per_referrer')::int + 1
  ) as b
  where t.org_id = p_org_id and t.program_id = p_program_id and b.boundary > 1;
end
$$;

revoke execute on function referral_private.boundaries_of from public;

-- Posts the differences between what won sales are owed and what is posted of these sales: all of the payers that are
-- settled, and those that may have become another payer's, or none.
create function referral_private.post_differences(
  p_account text,
  p_livemode boolean,
  p_sale_ids text[],
  p_won referral_private.won_sale[],
  p_cause text
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_difference record;
  v_posting referral_private.postings;
  v_moved bigint;
begin
  -- Locked first and in one order, those of old and new winners.
  perform from referral_private.ledger_accounts as a
  where (a.org_id, a.owner_id) in (
    select p.org_id, p.owner_id
    from referral_private.postings as p
    where p.account = p_account and p.livemode = p_livemode and p.sale_id = any (p_sale_ids)
  )
  order by a.org_id, a.account_id
  for no key update;
  for v_difference in
    with
      targets as (
        select (t.evidence).org_id, (t.sale).sale_id, t.owner_id, (t.sale).currency,
          coalesce(sum(t.amount) filter (where t.kind = 'pending'), 0)::bigint as pending,
          coalesce(sum(t.amount) filter (where t.kind = 'available'), 0)::bigint as available,
          coalesce(sum(t.amount) filter (where t.kind = 'reward'), 0)::bigint as reward,
          max(t.available_at) filter (where t.kind = 'pending' and t.amount > 0) as due_at
        from referral_private.targets_of(p_won, clock_timestamp()) as t
        where t.owner_id is not null
        group by 1, 2, 3, 4
      ),
      posted as (
        select p.org_id, p.sale_id, p.owner_id, p.currency,
          coalesce(sum(p.amount) filter (where p.kind = 'pending'), 0)::bigint as pending,
          coalesce(sum(p.amount) filter (where p.kind = 'available'), 0)::bigint as available,
          coalesce(sum(p.amount) filter (where p.kind = 'reward'), 0)::bigint as reward,
          max(p.due_at) filter (where p.kind = 'pending' and p.amount > 0) as due_at
        from referral_private.postings as p
        where p.account = p_account and p.livemode = p_livemode and p.sale_id = any (p_sale_ids)
        group by 1, 2, 3, 4
      )
    select org_id, sale_id, owner_id, currency,
      coalesce(t.pending, 0) - coalesce(p.pending, 0) as pending,
      coalesce(t.available, 0) - coalesce(p.available, 0) as available,
      coalesce(t.reward, 0) - coalesce(p.reward, 0) as reward,
      t.due_at
    from targets as t
    full join posted as p using (org_id, sale_id, owner_id, currency)
    where (coalesce(t.pending, 0), coalesce(t.available, 0), coalesce(t.reward, 0), t.due_at)
      is distinct from (coalesce(p.pending, 0), coalesce(p.available, 0), coalesce(p.reward, 0), p.due_at)
    order by org_id, owner_id, currency, sale_id
  loop
    v_posting := (
      v_difference.org_id, p_account, p_livemode, v_difference.sale_id, v_difference.owner_id, 'available',
      v_difference.currency, 0, 0, null
    );
    -- What leaves one bucket and enters the other moves between them; only the rest is earned or taken back.
    v_moved := 0;
    if sign(v_difference.pending) * sign(v_difference.available) < 0 then
      v_moved := sign(v_difference.available) * least(abs(v_difference.pending), abs(v_difference.available));
      perform referral_private.post(v_posting, v_moved, 'pending', p_cause);
    end if;
    if v_difference.available <> v_moved then
      perform referral_private.post(v_posting, v_difference.available - v_moved, 'expense', p_cause);
    end if;
    if v_difference.pending <> -v_moved then
      v_posting.kind := 'pending';
      perform referral_private.post(v_posting, v_difference.pending + v_moved, 'expense', p_cause);
    end if;
    update referral_private.postings as p
    set due_at = v_difference.due_at
    where p.org_id = v_posting.org_id and p.account = p_account and p.livemode = p_livemode
      and p.sale_id = v_posting.sale_id and p.owner_id = v_posting.owner_id and p.kind = 'pending'
      and p.currency = v_posting.currency;
    if v_difference.reward <> 0 then
      v_posting.kind := 'reward';
      perform referral_private.post(v_posting, v_difference.reward, 'expense', p_cause);
    end if;
  end loop;
end
$$;

revoke execute on function referral_private.post_differences from public;

-- Brings redemptions to what the facts say: confirmed by the first sale they win inside the conversion window, reversed
-- once all of what they won was taken back. A decision of staff is not touched.
create function referral_private.settle_redemptions(
  p_account text,
  p_livemode boolean,
  p_evidence referral_private.evidence[],
  p_won referral_private.won_sale[]
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_other text[] := referral_private.payers_named(p_account, not p_livemode, referral_private.carriers_of_users(
    p_account, not p_livemode, array(select e.referee_id from unnest(p_evidence) as e where e.redemption_id is not null)
  ));
begin
  -- A redemption has one status, whichever mode its sales are of.
  if cardinality(v_other) > 0 then
    v_other := referral_private.linked_payers(p_account, not p_livemode, v_other);
    p_won := p_won || array(
      select w from referral_private.won_sales(p_account, not p_livemode, v_other, array(
        select e from unnest(v_other) as payer
        cross join lateral referral_private.evidence_of(p_account, not p_livemode, payer) as e
      )) as w
    );
  end if;
  update referral.redemptions as r
  set confirmed_at = settled.confirmed_at, status = settled.status
  from (
    select d.org_id, d.id, won.first_at as confirmed_at, (case
      when won.first_at is null and d.status = 'expired' then 'expired'
      when won.first_at is null then 'pending'
      when won.net = 0 then 'reversed'
      else 'confirmed'
    end)::referral.redemption_status as status
    from (select distinct e.redemption_id as id from unnest(p_evidence) as e) as named
    join referral.redemptions as d on d.id = named.id
    left join (
      select (w.evidence).redemption_id, min((w.sale).sale_at) as first_at, sum((w.sale).paid - (w.sale).reversed) as net
      from unnest(p_won) as w
      where w.refusal is null or w.refusal in ('no_owner', 'guest', 'self_referral')
      group by 1
    ) as won on won.redemption_id = d.id
    where d.decision is null
  ) as settled
  where r.org_id = settled.org_id and r.id = settled.id
    and (r.confirmed_at, r.status) is distinct from (settled.confirmed_at, settled.status);
end
$$;

revoke execute on function referral_private.settle_redemptions from public;

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
  v_payers text[] := referral_private.linked_payers(p_account, p_livemode, p_payer_ids);
begin
  return query
  select t.*
  from referral_private.targets_of(
    array(
      select w from referral_private.won_sales(p_account, p_livemode, v_payers, array(
        select e from unnest(v_payers) as payer
        cross join lateral referral_private.evidence_of(p_account, p_livemode, payer) as e
      )) as w
    ),
    p_now
  ) as t;
end
$$;

revoke execute on function referral_private.targets_at from public;

-- Settles everything that these payers and sales touch, and whoever else moved in rank by it. The account lock is held
-- exclusively.
create function referral_private.settle(
  p_account text,
  p_livemode boolean,
  p_payer_ids text[],
  p_sale_ids text[],
  p_cause text
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_payers text[] := p_payer_ids;
  v_evidence referral_private.evidence[];
  v_won referral_private.won_sale[];
begin
  loop
    v_payers := referral_private.linked_payers(p_account, p_livemode, v_payers);
    v_evidence := array(
      select e from unnest(v_payers) as payer
      cross join lateral referral_private.evidence_of(p_account, p_livemode, payer) as e
    );
    v_won := array(select w from referral_private.won_sales(p_account, p_livemode, v_payers, v_evidence) as w);
    p_payer_ids := referral_private.rank_referrals(p_account, p_livemode, v_payers, v_won);
    exit when p_payer_ids <@ v_payers;
    v_payers := array(select unnest(v_payers) union select unnest(p_payer_ids));
  end loop;
  perform referral_private.settle_redemptions(p_account, p_livemode, v_evidence, v_won);
  p_sale_ids := p_sale_ids || array(
    select s.sale_id from referral_private.sales as s
    where s.account = p_account and s.livemode = p_livemode and s.payer_id = any (v_payers)
  );
  perform referral_private.post_differences(p_account, p_livemode, p_sale_ids, v_won, p_cause);
end
$$;

revoke execute on function referral_private.settle from public;

-- Settles what a person's redemption touches, in both modes.
create function referral_private.settle_user(p_account text, p_user_id uuid, p_cause text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform referral_private.settle(
    p_account, livemode, referral_private.payers_named(
      p_account, livemode, referral_private.carriers_of_users(p_account, livemode, array[p_user_id])
    ), '{}', p_cause
  )
  from unnest('{true,false}'::boolean[]) as livemode;
end
$$;

revoke execute on function referral_private.settle_user from public;

-- What a change of an organisation's account touches: every payer that its redemptions speak for, on either account.
create function referral_private.settle_organisation(p_org_id uuid, p_accounts text[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform referral_private.settle_user(account, r.referee_id, 'account changed')
  from referral.redemptions as r
  cross join unnest(p_accounts) as account
  where r.org_id = p_org_id;
end
$$;

revoke execute on function referral_private.settle_organisation from public;

-- Settles payers whose evidence names a code of the program and is later than a change of the program: clocks of test
-- mode run ahead.
create function referral_private.settle_program(p_account text, p_program_id uuid, p_since timestamptz)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform referral_private.settle(
    p_account, ahead.livemode, referral_private.payers_named(p_account, ahead.livemode, ahead.carriers), '{}', 'terms changed'
  )
  from (
    select e.livemode, array_agg(distinct e.carrier) as carriers
    from referral_private.payer_evidence as e
    left join referral_private.promotion_codes as p
      on e.priority = 4 and p.account = e.account and p.livemode = e.livemode and p.promotion_code_id = e.named
    join referral.codes as c on c.code_key = coalesce(p.code_key, e.named)
    where e.account = p_account and e.priority >= 3 and c.program_id = p_program_id
      and e.carried_at >= date_trunc('second', p_since)
    group by e.livemode
  ) as ahead;
end
$$;

revoke execute on function referral_private.settle_program from public;
