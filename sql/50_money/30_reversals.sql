-- How much was reversed: of a payment, and of an invoice that one or several payments paid.

-- What a dispute keeps, at most. In the currency of the sale and of its balance transactions it is what these took and
-- did not give back. Otherwise it is that share of what is disputed, or, where the dispute is in another currency than
-- the sale, of what was paid.
create function referral_private.kept_by_dispute(p_dispute referral_private.disputes, p_currency text, p_paid bigint)
returns numeric
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_net numeric;
  v_withdrawn numeric;
  v_is_same_currency boolean;
begin
  select greatest(0, -sum(t.amount)), max(-t.amount), bool_and(t.currency = p_dispute.currency)
  into v_net, v_withdrawn, v_is_same_currency
  from referral_private.dispute_transactions as t
  where t.stripe_account = p_dispute.stripe_account and t.livemode = p_dispute.livemode
    and t.dispute_id = p_dispute.dispute_id;
  if v_net is null or v_withdrawn <= 0 then
    return 0;
  end if;
  if p_dispute.currency = p_currency and v_is_same_currency then
    return least(v_net, p_dispute.amount);
  end if;
  return round(
    (case when p_dispute.currency = p_currency then p_dispute.amount else p_paid end)
      * least(v_net, v_withdrawn) / v_withdrawn
  );
end
$$;

-- What was reversed of one payment, given as all the references that mean it: refunds that did not fail, and what
-- disputes keep.
create function referral_private.reversed_of_payment(
  p_stripe_account text,
  p_livemode boolean,
  p_keys text[],
  p_currency text,
  p_paid bigint
)
returns numeric
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select coalesce(sum(r.amount), 0) from referral_private.refunds as r
    where r.stripe_account = p_stripe_account and r.livemode = p_livemode and r.payment_key = any (p_keys)
      and r.status_rank < 2
  ) + (
    select coalesce(sum(referral_private.kept_by_dispute(d, p_currency, p_paid)), 0)
    from referral_private.disputes as d
    where d.stripe_account = p_stripe_account and d.livemode = p_livemode and d.payment_key = any (p_keys)
  );
end
$$;

-- Splits an amount by weights: each part gets its share rounded down, and what is left goes to the largest
-- remainders, one unit each, the earlier part first where remainders are equal. Without any weight all parts are 0.
create function referral_private.split_by_weight(p_amount numeric, p_weights numeric[])
returns numeric[]
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_weight numeric := (select sum(w) from unnest(p_weights) as w);
begin
  if v_weight = 0 then
    return array_fill(0::numeric, array[cardinality(p_weights)]);
  end if;
  return array(
    select s.share + case when s.place <= p_amount - s.shares then 1 else 0 end
    from (
      select w.part, div(p_amount * w.weight, v_weight) as share,
        sum(div(p_amount * w.weight, v_weight)) over () as shares,
        row_number() over (order by mod(p_amount * w.weight, v_weight) desc, w.part) as place
      from unnest(p_weights) with ordinality as w (weight, part)
    ) as s
    order by s.part
  );
end
$$;

-- How much of the refunds of this payment a credit note assigns to this invoice.
create function referral_private.refunded_by_credit_notes(
  p_stripe_account text,
  p_livemode boolean,
  p_invoice_id text,
  p_keys text[]
)
returns numeric
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select coalesce(sum(a.amount), 0)
    from referral_private.credit_notes as n
    join referral_private.credit_note_refunds as a
      on a.stripe_account = n.stripe_account and a.livemode = n.livemode and a.credit_note_id = n.credit_note_id
    join referral_private.refunds as r
      on r.stripe_account = a.stripe_account and r.livemode = a.livemode and r.refund_id = a.refund_id
    where n.stripe_account = p_stripe_account and n.livemode = p_livemode and n.invoice_id = p_invoice_id and not n.void
      and r.payment_key = any (p_keys) and r.status_rank < 2
  );
end
$$;

-- How much of what was reversed of a payment falls on one of the invoices that it paid. What credit notes assign goes
-- to their invoice first; the rest is split once, as a whole, by what is left of each: splitting each refund by
-- itself would reverse too much of some invoice.
create function referral_private.reversed_share_of_invoice(
  p_stripe_account text,
  p_livemode boolean,
  p_invoice_id text,
  p_keys text[],
  p_currency text,
  p_paid bigint
)
returns numeric
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_invoices text[];
  v_paid numeric[];
  v_assigned numeric[];
  v_reversed numeric;
  v_rest numeric[];
  v_place int;
begin
  select array_agg(i.invoice_id order by i.invoice_id collate "C"), array_agg(i.paid order by i.invoice_id collate "C"),
    array_agg(
      least(i.paid, referral_private.refunded_by_credit_notes(p_stripe_account, p_livemode, i.invoice_id, p_keys))
      order by i.invoice_id collate "C"
    )
  into v_invoices, v_paid, v_assigned
  from (
    select l.invoice_id, coalesce(sum(l.amount_paid), (
      select max(p.paid) from referral_private.payments as p
      where p.stripe_account = p_stripe_account and p.livemode = p_livemode and p.payment_id = l.invoice_id
    ), 0)::numeric as paid
    from referral_private.invoice_payments as l
    where l.stripe_account = p_stripe_account and l.livemode = p_livemode and l.payment_key = any (p_keys)
    group by l.invoice_id
  ) as i;
  v_place := array_position(v_invoices, p_invoice_id);
  if v_place is null then
    return 0;
  end if;
  v_reversed := referral_private.reversed_of_payment(
    p_stripe_account, p_livemode, p_keys, p_currency,
    coalesce(nullif((select sum(paid) from unnest(v_paid) as paid), 0), p_paid)::bigint
  );
  if cardinality(v_invoices) = 1 then
    return v_reversed;
  end if;
  v_rest := referral_private.split_by_weight(
    greatest(0, v_reversed - (select sum(assigned) from unnest(v_assigned) as assigned)),
    array(select paid - assigned from unnest(v_paid, v_assigned) as i (paid, assigned))
  );
  return v_assigned[v_place] + v_rest[v_place];
end
$$;

-- What was reversed of an invoice: its shares of the payments that paid it, all references to which are given, and
-- what its credit notes give back outside of refunds.
create function referral_private.reversed_of_invoice(
  p_stripe_account text,
  p_livemode boolean,
  p_invoice_id text,
  p_keys text[],
  p_currency text,
  p_paid bigint
)
returns numeric
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_reversed numeric := (
    select coalesce(sum(n.outside), 0) from referral_private.credit_notes as n
    where n.stripe_account = p_stripe_account and n.livemode = p_livemode and n.invoice_id = p_invoice_id and not n.void
  );
begin
  if exists (
    select from referral_private.refunds as r
    where r.stripe_account = p_stripe_account and r.livemode = p_livemode and r.payment_key = any (p_keys)
  ) or exists (
    select from referral_private.disputes as d
    where d.stripe_account = p_stripe_account and d.livemode = p_livemode and d.payment_key = any (p_keys)
  ) then
    v_reversed := v_reversed + (
      select coalesce(sum(referral_private.reversed_share_of_invoice(
        p_stripe_account, p_livemode, p_invoice_id,
        referral_private.payment_keys(p_stripe_account, p_livemode, array[paying.key]), p_currency, p_paid
      )), 0)
      from (
        select distinct coalesce(c.intent_id, l.payment_key) as key
        from referral_private.invoice_payments as l
        left join referral_private.charges as c
          on c.stripe_account = l.stripe_account and c.livemode = l.livemode and c.charge_id = l.payment_key
        where l.stripe_account = p_stripe_account and l.livemode = p_livemode and l.invoice_id = p_invoice_id
      ) as paying
    );
  end if;
  return v_reversed;
end
$$;
