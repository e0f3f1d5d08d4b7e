-- Settling: what the facts say is brought into redemptions, ranks and the ledger. A function that states a fact, or
-- decides something, settles in the same transaction, under the Stripe account lock.

-- Brings redemptions to what the facts say: confirmed by the first sale that they win inside the conversion window,
-- reversed once all of what they won was reversed. A redemption that staff decided on is left as it is.
create function referral_private.settle_redemptions(
  p_stripe_account text,
  p_livemode boolean,
  p_evidence referral_private.evidence[],
  p_won referral_private.won_sale[]
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_redeemed referral_private.evidence[] := array(
    select e from unnest(p_evidence) as e where e.redemption_id is not null
  );
  v_other text[];
begin
  if cardinality(v_redeemed) = 0 then
    return;
  end if;
  -- A redemption has one status, whichever mode its sales are of.
  v_other := referral_private.payers_of_carriers(p_stripe_account, not p_livemode, referral_private.carriers_of_users(
    p_stripe_account, not p_livemode, array(select e.referee_id from unnest(v_redeemed) as e)
  ));
  if cardinality(v_other) > 0 then
    p_won := p_won || array(
      select w from referral_private.won_sales(p_stripe_account, not p_livemode, array(
        select e from referral_private.evidence_of(
          p_stripe_account, not p_livemode, referral_private.linked_payers(p_stripe_account, not p_livemode, v_other)
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
      select (w.evidence).redemption_id, min((w.sale).sale_at) as first_at,
        sum((w.sale).paid - (w.sale).reversed) as net
      from unnest(p_won) as w
      where w.refusal is null or w.refusal in ('no_earner', 'guest', 'self_referral')
      group by 1
    ) as won on won.redemption_id = d.id
    where d.decision is null
  ) as settled
  where r.org_id = settled.org_id and r.id = settled.id
    and (r.confirmed_at, r.status) is distinct from (settled.confirmed_at, settled.status);
end
$$;

-- Settles these payers, the payers whose rank changes by it, and these sales, whose old and new payers they are. The
-- Stripe account lock is held exclusively.
create function referral_private.settle(
  p_stripe_account text,
  p_livemode boolean,
  p_payer_ids text[],
  p_sale_ids text[],
  p_cause text
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_carriers referral_private.payer_carrier[];
  -- A sale that is gone may have been all that linked its payer to a person: what it carries is settled too.
  v_payers text[] := p_payer_ids || p_sale_ids;
  v_moved text[];
  v_evidence referral_private.evidence[];
  v_won referral_private.won_sale[];
begin
  loop
    v_carriers := referral_private.linked_payers(p_stripe_account, p_livemode, v_payers);
    v_payers := array(select distinct c.payer_id from unnest(v_carriers) as c);
    v_evidence := array(select e from referral_private.evidence_of(p_stripe_account, p_livemode, v_carriers) as e);
    v_won := array(select w from referral_private.won_sales(p_stripe_account, p_livemode, v_evidence) as w);
    v_moved := referral_private.rank_referrals(p_stripe_account, p_livemode, v_payers, v_won);
    exit when v_moved <@ v_payers;
    v_payers := v_payers || v_moved;
  end loop;
  perform referral_private.settle_redemptions(p_stripe_account, p_livemode, v_evidence, v_won);
  -- The sales of a payer are among its carriers.
  perform referral_private.post_differences(
    p_stripe_account, p_livemode, p_sale_ids || array(select c.carrier from unnest(v_carriers) as c), v_won, p_cause
  );
end
$$;

-- Settles what a person's redemption touches, in both modes.
create function referral_private.settle_user(p_stripe_account text, p_user_id uuid, p_cause text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.settle(
    p_stripe_account, livemode, referral_private.payers_of_carriers(
      p_stripe_account, livemode, referral_private.carriers_of_users(p_stripe_account, livemode, array[p_user_id])
    ), '{}', p_cause
  )
  from unnest('{true,false}'::boolean[]) as livemode;
end
$$;

-- Settles what a change of an organisation's Stripe account touches: every payer of its redemptions, on either account.
create function referral_private.settle_organisation(p_org_id uuid, p_stripe_accounts text[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.settle_user(stripe_account, r.referee_id, 'Stripe account changed')
  from referral.redemptions as r
  cross join unnest(p_stripe_accounts) as stripe_account
  where r.org_id = p_org_id;
end
$$;

-- Settles payers whose evidence names a code of the program and is later than a change of the program: clocks of test
-- mode run ahead.
create function referral_private.settle_program(p_stripe_account text, p_program_id uuid, p_since timestamptz)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.settle(
    p_stripe_account, ahead.livemode,
    referral_private.payers_of_carriers(p_stripe_account, ahead.livemode, ahead.carriers), '{}', 'terms changed'
  )
  from (
    select e.livemode, array_agg(distinct e.carrier) as carriers
    from referral_private.payer_evidence as e
    left join referral_private.promotion_codes as p
      on e.kind = 'promotion_code' and p.promotion_code_id = e.named
      and p.stripe_account = e.stripe_account and p.livemode = e.livemode
    join referral.codes as c on c.code_key = coalesce(p.code_key, e.named)
    where e.stripe_account = p_stripe_account and e.kind >= 'metadata_code' and c.program_id = p_program_id
      and e.carried_at >= date_trunc('second', p_since)
    group by e.livemode
  ) as ahead;
end
$$;
