-- Settling: what the facts say is brought into redemptions, ranks and the ledger. A function that states a fact, or
-- decides something, settles in the same transaction, under the Stripe account lock.

-- Brings redemptions to what the facts say: confirmed by the first sale that they win, reversed once all of what they
-- won was reversed. A redemption that staff decided on is left as it is.
create function referral_private.settle_redemptions(
  p_stripe_account text,
  p_livemode boolean,
  p_settled referral_private.settlement
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_ids constant uuid[] := (p_settled.together).user_ids || array(
    select e.referee_id from unnest(p_settled.evidence) as e where e.redemption_id is not null
  );
  v_redeemed uuid[] := array(
    select r.id from referral.redemptions as r
    where r.referee_id = any (v_user_ids) and referral_private.stripe_account_of(r.org_id) = p_stripe_account
  );
  v_settled referral_private.settlement[] := array[p_settled];
  v_others text[];
  v_mode boolean;
begin
  if cardinality(v_redeemed) = 0 then
    return;
  end if;
  -- A redemption has one status, whichever mode its sales are of, and whoever's sales name it.
  foreach v_mode in array '{true,false}'::boolean[] loop
    v_others := array(
      select unnest(referral_private.payers_of_users(p_stripe_account, v_mode, v_user_ids))
      except
      select p.payer_id from unnest((p_settled.together).payers) as p where v_mode = p_livemode
    );
    if cardinality(v_others) > 0 then
      v_settled := v_settled || referral_private.settlement_of(
        p_stripe_account, v_mode, referral_private.payers_together(p_stripe_account, v_mode, v_others)
      );
    end if;
  end loop;
  update referral.redemptions as r
  set confirmed_at = settled.confirmed_at, status = settled.status
  from (
    select d.org_id, d.id, won.first_at as confirmed_at, (case
      when won.first_at is null and d.status = 'expired' then 'expired'
      when won.first_at is null then 'pending'
      when won.net = 0 then 'reversed'
      else 'confirmed'
    end)::referral.redemption_status as status
    from unnest(v_redeemed) as named
    join referral.redemptions as d on d.id = named
    left join (
      select e.redemption_id, min(w.paid_at) as first_at, sum(w.paid - w.reversed) as net
      from unnest(v_settled) as s
      cross join lateral unnest(s.won) as w
      join lateral unnest(s.evidence) with ordinality as e on e.ordinality = w.n
      where w.is_won
      group by 1
    ) as won on won.redemption_id = d.id
    where d.decision is null
  ) as settled
  where r.org_id = settled.org_id and r.id = settled.id
    and (r.confirmed_at, r.status) is distinct from (settled.confirmed_at, settled.status);
end
$$;

-- Takes from those that wait the payers that were asked for and settled, and of the payers settled together with them
-- those that are linked to nobody else: of the others, more must be settled. These are all sales of all of them.
create function referral_private.settled_now(
  p_stripe_account text,
  p_livemode boolean,
  p_asked text[],
  p_together referral_private.settled_payers,
  p_sale_ids text[]
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_settled text[] := p_asked || p_sale_ids || array(select p.payer_id from unnest(p_together.payers) as p);
  v_linked text[];
  v_elsewhere text[];
begin
  if not exists (select from referral_private.to_settle as q where q.stripe_account = p_stripe_account) then
    return;
  end if;
  v_linked := array(
    select distinct c.payer_id
    from unnest(p_together.links) as l
    join unnest(p_together.carriers) as c on c.carrier = l.carrier
    where l.user_id <> all (p_together.user_ids)
    except
    select unnest(p_asked)
  );
  v_elsewhere := array(
    select q.payer_id from referral_private.to_settle as q
    where q.payer_id = any (v_linked) and q.stripe_account = p_stripe_account and q.livemode = p_livemode
  );
  if cardinality(v_elsewhere) > 0 then
    v_settled := array(
      select unnest(v_settled)
      except
      select unnest(v_elsewhere)
      except
      select s.sale_id from referral_private.sales as s
      where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.payer_id = any (v_elsewhere)
    );
  end if;
  delete from referral_private.to_settle as q
  where q.stripe_account = p_stripe_account and q.livemode = p_livemode and q.payer_id = any (v_settled);
end
$$;

-- Settles these payers, the payers whose commissions change by it, and these sales, whose old and new payers they are.
-- What is too much for one transaction waits in `to_settle`; so does all, if it may wait and the payers have many
-- sales. The Stripe account lock is held exclusively.
create function referral_private.settle_at_once(
  p_stripe_account text,
  p_livemode boolean,
  p_payer_ids text[],
  p_sale_ids text[],
  p_causes referral_private.cause[],
  p_may_wait boolean
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
-- A young project has no statistics yet, and its sessions keep the plans of small tables.
set enable_seqscan = off
-- Of many sales it sorts and joins wide rows.
set work_mem = '64MB'
set jit = off
as $$
declare
  v_max constant int := referral_private.settled_at_once();
  v_cause constant text := (p_causes[1]).event_id;
  -- Who must be settled: those asked for, and those whose commissions change by it. A sale that is gone may have been
  -- all that linked its payer to a person: what it carries is settled too.
  v_asked text[] := p_payer_ids || p_sale_ids;
  v_payers text[];
  v_sales text[];
  v_moved text[];
  v_together referral_private.settled_payers;
  v_settled referral_private.settlement;
begin
  loop
    v_together := referral_private.payers_together(p_stripe_account, p_livemode, v_asked);
    v_payers := array(select p.payer_id from unnest(v_together.payers) as p);
    v_sales := p_sale_ids || array(
      select s.sale_id from referral_private.sales as s
      where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.payer_id = any (v_payers)
    );
    if cardinality(v_sales) = 0 then
      perform referral_private.settled_now(p_stripe_account, p_livemode, v_asked, v_together, v_sales);
      return;
    elsif p_may_wait and cardinality(v_sales) > 4 * v_max then
      perform referral_private.settle_later(p_stripe_account, p_livemode, v_asked, v_cause);
      return;
    end if;
    v_settled := referral_private.settlement_of(p_stripe_account, p_livemode, v_together);
    v_moved := referral_private.rank_referrals(v_payers, v_settled)
      || referral_private.place_guest_sales(v_sales, v_settled);
    exit when v_moved <@ v_payers;
    if cardinality(v_moved) + cardinality(v_payers) > v_max then
      perform referral_private.settle_later(
        p_stripe_account, p_livemode, array(select unnest(v_moved) except select unnest(v_payers)), v_cause
      );
      exit;
    end if;
    v_asked := v_asked || v_moved;
  end loop;
  perform referral_private.settled_now(p_stripe_account, p_livemode, v_asked, v_together, v_sales);
  perform referral_private.settle_redemptions(p_stripe_account, p_livemode, v_settled);
  -- All of one person is computed anew for each piece: of very many sales the pieces are an eighth.
  if referral_private.post_differences(
    v_sales, v_settled, p_causes, greatest(v_max, cardinality(v_sales) / 8)
  ) then
    perform referral_private.settle_later(p_stripe_account, p_livemode, v_asked, v_cause);
  end if;
end
$$;

-- Settles payers and sales as `settle_at_once` does, if they are not too many; else they wait. The first cause is that
-- of all, others are those of their sales.
create function referral_private.settle(
  p_stripe_account text,
  p_livemode boolean,
  p_payer_ids text[],
  p_sale_ids text[],
  p_cause text,
  p_causes referral_private.cause[] default '{}'
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if cardinality(p_payer_ids) > referral_private.settled_at_once() then
    perform referral_private.settle_later(p_stripe_account, p_livemode, p_payer_ids || p_sale_ids, p_cause);
    return;
  end if;
  perform referral_private.settle_at_once(
    p_stripe_account, p_livemode, p_payer_ids, p_sale_ids, array[(null, p_cause)::referral_private.cause] || p_causes,
    true
  );
end
$$;

-- Settles what redemptions of these people touch, in both modes.
create function referral_private.settle_users(p_stripe_account text, p_user_ids uuid[], p_cause text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.settle(
    p_stripe_account, livemode, referral_private.payers_of_users(p_stripe_account, livemode, p_user_ids), '{}',
    p_cause
  )
  from unnest('{true,false}'::boolean[]) as livemode;
end
$$;
