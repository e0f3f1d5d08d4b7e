-- What was taken back: of a payment, and of an invoice that one or several payments paid.

-- What was taken back of one payment, given as all the references that mean it: refunds that did not fail, and what
-- disputes keep. A dispute in another currency than the sale's is reckoned by its share of what was paid.
create function referral_private.taken_back(
  p_account text,
  p_livemode boolean,
  p_keys text[],
  p_currency text,
  p_paid bigint
)
returns numeric
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select coalesce(sum(r.amount), 0) from referral_private.refunds as r
    where r.account = p_account and r.livemode = p_livemode and r.payment_key = any (p_keys) and r.rank < 2
  ) + (
    select coalesce(sum(round(
      (case when d.currency = p_currency then d.amount else p_paid end)
        * greatest(0, -moved.net) / nullif(moved.taken, 0)
    )), 0)
    from referral_private.disputes as d
    cross join lateral (
      select coalesce(sum(t.amount), 0) as net, coalesce(sum(abs(t.amount)) filter (where t.amount < 0), 0) as taken
      from referral_private.dispute_transactions as t
      where t.account = p_account and t.livemode = p_livemode and t.dispute_id = d.dispute_id
    ) as moved
    where d.account = p_account and d.livemode = p_livemode and d.payment_key = any (p_keys)
  );
end
$$;

revoke execute on function referral_private.taken_back from public;

-- How much of what was taken back of a payment falls on one of the invoices that it paid. What credit notes assign goes
-- to their invoice first; the rest is split once, cumulatively, by what is left of each (largest remainder, ties by
-- invoice): splitting each refund by itself would take too much from some.
create function referral_private.share_of_invoice(
  p_account text,
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
set search_path = ''
as $$
declare
  v_taken numeric;
  v_share numeric;
begin
  with
    parts as (
      select l.invoice_id, coalesce(sum(l.amount_paid), (
        select max(p.paid) from referral_private.payments as p
        where p.account = p_account and p.livemode = p_livemode and p.payment_id = l.invoice_id
      ), 0)::numeric as weight
      from referral_private.invoice_payments as l
      where l.account = p_account and l.livemode = p_livemode and l.payment_key = any (p_keys)
      group by l.invoice_id
    ),
    assigned as (
      select p.invoice_id, p.weight, least(p.weight, coalesce((
        select sum(a.amount)
        from referral_private.credit_notes as n
        join referral_private.credit_note_refunds as a
          on a.account = n.account and a.livemode = n.livemode and a.credit_note_id = n.credit_note_id
        join referral_private.refunds as r
          on r.account = a.account and r.livemode = a.livemode and r.refund_id = a.refund_id
        where n.account = p_account and n.livemode = p_livemode and n.invoice_id = p.invoice_id and not n.void
          and r.payment_key = any (p_keys) and r.rank < 2
      ), 0)) as direct
      from parts as p
    ),
    total as (
      select referral_private.taken_back(
        p_account, p_livemode, p_keys, p_currency,
        coalesce(nullif(sum(a.weight), 0), p_paid)::bigint
      ) as taken, sum(a.direct) as direct, sum(a.weight - a.direct) as weight, count(*) as parts
      from assigned as a
    ),
    split as (
      select a.invoice_id, a.direct, t.parts, t.taken,
        greatest(t.taken - t.direct, 0) as rest,
        case when t.weight > 0 then div(greatest(t.taken - t.direct, 0) * (a.weight - a.direct), t.weight) else 0 end as floor,
        case when t.weight > 0 then mod(greatest(t.taken - t.direct, 0) * (a.weight - a.direct), t.weight) else 0 end as remainder
      from assigned as a cross join total as t
    ),
    shared as (
      select s.*, row_number() over (order by s.remainder desc, s.invoice_id) as place, sum(s.floor) over () as floors
      from split as s
    )
  select case when s.parts = 1 then s.taken
    else s.direct + s.floor + case when s.place <= s.rest - s.floors then 1 else 0 end end
  into v_share
  from shared as s
  where s.invoice_id = p_invoice_id;
  return coalesce(v_share, 0);
end
$$;

revoke execute on function referral_private.share_of_invoice from public;

-- What was taken back of an invoice: its shares of the payments that paid it, all references to which are given, and its
-- credit notes.
create function referral_private.taken_back_of_invoice(
  p_account text,
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
set search_path = ''
as $$
declare
  v_taken numeric := (
    select coalesce(sum(n.outside), 0) from referral_private.credit_notes as n
    where n.account = p_account and n.livemode = p_livemode and n.invoice_id = p_invoice_id and not n.void
  );
begin
  if exists (
    select from referral_private.refunds as r
    where r.account = p_account and r.livemode = p_livemode and r.payment_key = any (p_keys)
  ) or exists (
    select from referral_private.disputes as d
    where d.account = p_account and d.livemode = p_livemode and d.payment_key = any (p_keys)
  ) then
    v_taken := v_taken + (
      select coalesce(sum(referral_private.share_of_invoice(
        p_account, p_livemode, p_invoice_id, referral_private.payment_keys(p_account, p_livemode, array[paying.key]), p_currency, p_paid
      )), 0)
      from (
        select distinct coalesce(c.intent_id, l.payment_key) as key
        from referral_private.invoice_payments as l
        left join referral_private.charges as c
          on c.account = l.account and c.livemode = l.livemode and c.charge_id = l.payment_key
        where l.account = p_account and l.livemode = p_livemode and l.invoice_id = p_invoice_id
      ) as paying
    );
  end if;
  return v_taken;
end
$$;

revoke execute on function referral_private.taken_back_of_invoice from public;
