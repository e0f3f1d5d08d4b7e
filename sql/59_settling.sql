-- Settling: the ledger gets the difference between what the facts say is owed and what it has. Whoever states a fact, or
-- decides something, settles in the same transaction, under the account lock.

-- What a sale's target for an owner differs by from what is posted, and when what is pending will be due.
create type referral_private.difference as (
  org_id uuid,
  owner_id uuid,
  currency text,
  sale_id text,
  pending bigint,
  available bigint,
  reward bigint,
  due_at timestamptz
);

create function referral_private.differences(
  p_account text,
  p_livemode boolean,
  p_sale_ids text[],
  p_won referral_private.won_sale[]
)
returns setof referral_private.difference
language plpgsql
stable
rows 10
security invoker
set search_path = ''
as $$
begin
  return query
  with
    targets as (
      select (t.evidence).org_id, t.owner_id, (t.sale).currency, (t.sale).sale_id,
        coalesce(sum(t.amount) filter (where t.kind = 'pending'), 0)::bigint as pending,
        coalesce(sum(t.amount) filter (where t.kind = 'available'), 0)::bigint as available,
        coalesce(sum(t.amount) filter (where t.kind = 'reward'), 0)::bigint as reward,
        max(t.available_at) filter (where t.kind = 'pending' and t.amount > 0) as due_at
      from referral_private.targets_of(p_won, clock_timestamp()) as t
      where t.owner_id is not null
      group by 1, 2, 3, 4
    ),
    posted as (
      select p.org_id, p.owner_id, p.currency, p.sale_id,
        coalesce(sum(p.amount) filter (where p.kind = 'pending'), 0)::bigint as pending,
        coalesce(sum(p.amount) filter (where p.kind = 'available'), 0)::bigint as available,
        coalesce(sum(p.amount) filter (where p.kind = 'reward'), 0)::bigint as reward,
        max(p.due_at) filter (where p.kind = 'pending' and p.amount > 0) as due_at
      from referral_private.postings as p
      where p.account = p_account and p.livemode = p_livemode and p.sale_id = any (p_sale_ids)
      group by 1, 2, 3, 4
    )
  select org_id, owner_id, currency, sale_id,
    coalesce(t.pending, 0) - coalesce(p.pending, 0),
    coalesce(t.available, 0) - coalesce(p.available, 0),
    coalesce(t.reward, 0) - coalesce(p.reward, 0),
    t.due_at
  from targets as t
  full join posted as p using (org_id, owner_id, currency, sale_id)
  where (coalesce(t.pending, 0), coalesce(t.available, 0), coalesce(t.reward, 0), t.due_at)
    is distinct from (coalesce(p.pending, 0), coalesce(p.available, 0), coalesce(p.reward, 0), p.due_at);
end
$$;

revoke execute on function referral_private.differences from public;

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
  v_differences referral_private.difference[] := array(
    select d from referral_private.differences(p_account, p_livemode, p_sale_ids, p_won) as d
    order by d.org_id, d.owner_id, d.currency, d.sale_id
  );
  v_difference referral_private.difference;
  v_posting referral_private.postings;
  v_moved bigint;
begin
  -- Locked first and in one order: the accounts of old and new winners.
  perform from referral_private.ledger_accounts as a
  where (a.org_id, a.owner_id) in (select d.org_id, d.owner_id from unnest(v_differences) as d)
  order by a.org_id, a.account_id
  for no key update;
  foreach v_difference in array v_differences loop
    v_posting := (
      v_difference.org_id, p_account, p_livemode, v_difference.sale_id, v_difference.owner_id, 'available',
      v_difference.currency, 0, 0, v_difference.due_at
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
    if v_difference.reward <> 0 then
      v_posting.kind := 'reward';
      perform referral_private.post(v_posting, v_difference.reward, 'expense', p_cause);
    end if;
    v_posting.kind := 'pending';
    if v_difference.pending <> -v_moved then
      perform referral_private.post(v_posting, v_difference.pending + v_moved, 'expense', p_cause);
    else
      -- Perhaps only the hold has changed.
      update referral_private.postings as p
      set due_at = v_difference.due_at
      where p.org_id = v_posting.org_id and p.sale_id = v_posting.sale_id and p.owner_id = v_posting.owner_id
        and p.kind = 'pending' and p.currency = v_posting.currency and p.account = p_account and p.livemode = p_livemode
        and p.due_at is distinct from v_difference.due_at;
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
  v_redeemed referral_private.evidence[] := array(select e from unnest(p_evidence) as e where e.redemption_id is not null);
  v_other text[];
begin
  if cardinality(v_redeemed) = 0 then
    return;
  end if;
  -- A redemption has one status, whichever mode its sales are of.
  v_other := referral_private.payers_named(p_account, not p_livemode, referral_private.carriers_of_users(
    p_account, not p_livemode, array(select e.referee_id from unnest(v_redeemed) as e)
  ));
  if cardinality(v_other) > 0 then
    p_won := p_won || array(
      select w from referral_private.won_sales(p_account, not p_livemode, array(
        select e from referral_private.evidence_of(
          p_account, not p_livemode, referral_private.linked_payers(p_account, not p_livemode, v_other)
        ) as e
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
    from (select distinct e.redemption_id as id from unnest(v_redeemed) as e) as named
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

-- Settles all that is these payers', with whoever else moved in rank by it, and these sales, of which they are the payers,
-- old and new. The account lock is held exclusively.
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
  v_names referral_private.payer_name[];
  -- A sale that is gone may have been all that linked its payer to a person: whoever it carries is settled too.
  v_payers text[] := p_payer_ids || p_sale_ids;
  v_moved text[];
  v_evidence referral_private.evidence[];
  v_won referral_private.won_sale[];
begin
  loop
    v_names := referral_private.linked_payers(p_account, p_livemode, v_payers);
    v_payers := array(select distinct n.payer_id from unnest(v_names) as n);
    v_evidence := array(select e from referral_private.evidence_of(p_account, p_livemode, v_names) as e);
    v_won := array(select w from referral_private.won_sales(p_account, p_livemode, v_evidence) as w);
    v_moved := referral_private.rank_referrals(p_account, p_livemode, v_payers, v_won);
    exit when v_moved <@ v_payers;
    v_payers := v_payers || v_moved;
  end loop;
  perform referral_private.settle_redemptions(p_account, p_livemode, v_evidence, v_won);
  -- The sales of a payer are among its names.
  perform referral_private.post_differences(
    p_account, p_livemode, p_sale_ids || array(select n.name from unnest(v_names) as n), v_won, p_cause
  );
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

-- Moves commissions whose hold is over from pending to available: at most `p_limit` sales of one Stripe account a call, so
-- that its lock is held shortly. Answers how many it looked at; call again until that is 0.
create function referral_private.release_due_commissions(p_limit int)
returns int
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_account text;
  v_due record;
  v_released int := 0;
begin
  for v_account in
    select p.account from referral_private.postings as p
    where p.kind = 'pending' and p.amount > 0 and p.due_at <= clock_timestamp()
    group by p.account
    order by min(p.due_at)
  loop
    -- An account that is busy is left for the next time.
    continue when not pg_try_advisory_xact_lock(referral_private.account_lock_key(v_account));
    for v_due in
      select due.livemode, array_agg(distinct s.payer_id) as payers, count(*) as sales
      from (
        select p.livemode, p.sale_id
        from referral_private.postings as p
        where p.account = v_account and p.kind = 'pending' and p.amount > 0 and p.due_at <= clock_timestamp()
        order by p.due_at
        limit least(greatest(p_limit, 0), 500)
      ) as due
      join referral_private.sales as s on s.account = v_account and s.livemode = due.livemode and s.sale_id = due.sale_id
      group by due.livemode
    loop
      perform referral_private.settle(v_account, v_due.livemode, v_due.payers, '{}', 'release');
      v_released := v_released + v_due.sales;
    end loop;
    exit when v_released > 0;
  end loop;
  return v_released;
end
$$;

revoke execute on function referral_private.release_due_commissions from public;

grant execute on function referral_private.release_due_commissions to service_role;
