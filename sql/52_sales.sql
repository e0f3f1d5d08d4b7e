-- Sales: what was paid once the statements are put together, and how much of it was taken back. A projection of the facts:
-- every row can be made anew from them.
create table referral_private.sales (
  account text not null,
  livemode boolean not null,
  sale_id text not null,
  payer_id text not null,
  is_guest boolean not null,
  org_id uuid,
  program_id uuid,
  currency text not null,
  paid bigint not null,
  reversed bigint not null,
  total bigint not null,
  total_excluding_tax bigint,
  sale_at timestamptz not null,
  paid_at timestamptz not null,
  warned_at timestamptz,
  constraint sales_pkey primary key (account, livemode, sale_id),
  constraint sales_are_of_something check (paid > 0),
  constraint sales_reversed_at_most_paid check (reversed between 0 and paid)
);

create index sales_by_payer on referral_private.sales (account, livemode, payer_id);

comment on column referral_private.sales.sale_id is
  'The invoice, or else the payment intent. An intent that pays an invoice is no sale of its own.';

comment on column referral_private.sales.payer_id is 'The customer, or the sale itself where a guest paid.';

alter table referral_private.sales enable row level security;

-- The payment that a reference means: a charge is its intent's, where that is known.
create function referral_private.payment_keys(p_account text, p_livemode boolean, p_ids text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return array(
    select unnest(p_ids)
    union
    select c.intent_id from referral_private.charges as c
    where c.account = p_account and c.livemode = p_livemode and c.charge_id = any (p_ids)
    union
    select c.charge_id from referral_private.charges as c
    where c.account = p_account and c.livemode = p_livemode and c.intent_id = any (p_ids)
  );
end
$$;

revoke execute on function referral_private.payment_keys from public;

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

-- What was taken back of an invoice: its shares of the payments that paid it, and its credit notes.
create function referral_private.taken_back_of_invoice(
  p_account text,
  p_livemode boolean,
  p_invoice_id text,
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
  ) + (
    select coalesce(sum(n.outside), 0) from referral_private.credit_notes as n
    where n.account = p_account and n.livemode = p_livemode and n.invoice_id = p_invoice_id and not n.void
  );
end
$$;

revoke execute on function referral_private.taken_back_of_invoice from public;

-- The sales that these payments, invoices and charges can touch: themselves, and all invoices that share a payment.
create function referral_private.touched_sales(p_account text, p_livemode boolean, p_ids text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_ids text[] := referral_private.payment_keys(p_account, p_livemode, p_ids);
  v_paying text[] := array(
    select l.payment_key from referral_private.invoice_payments as l
    where l.account = p_account and l.livemode = p_livemode and l.invoice_id = any (v_ids)
  );
begin
  v_ids := v_ids || v_paying;
  if cardinality(v_paying) > 0 then
    v_ids := v_ids || referral_private.payment_keys(p_account, p_livemode, v_paying);
  end if;
  return array(
    select unnest(v_ids)
    union
    select other.invoice_id
    from referral_private.invoice_payments as other
    where other.account = p_account and other.livemode = p_livemode and other.payment_key = any (v_ids)
  );
end
$$;

revoke execute on function referral_private.touched_sales from public;

-- Makes these sales anew from the facts. Returns the payers that they had and have.
create function referral_private.project_sales(p_account text, p_livemode boolean, p_sale_ids text[])
returns text[]
language plpgsql
volatile
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_before text[];
  v_after text[];
begin
  with gone as (
    delete from referral_private.sales as s
    where s.account = p_account and s.livemode = p_livemode and s.sale_id = any (p_sale_ids)
    returning s.payer_id
  )
  select array_agg(g.payer_id) into v_before from gone as g;

  with
    stated as (
      select p.payment_id,
        -- The source that knows best what was paid speaks; only an intent that has heard of no payment lets its session.
        (array_agg(p order by p.paid > 0 desc, p.source = 'session', p.source))[1] as best,
        -- Only the session knows the tax of its intent.
        (array_agg(p order by p.source) filter (where p.source = 'session'))[1] as session,
        min(p.customer_id) as customer_id,
        min(p.sale_at) as sale_at,
        min(p.paid_at) as paid_at,
        bool_or(p.names_referral or p.source <> 'intent') as is_sale,
        (array_agg(p.org_id order by p.source) filter (where p.org_id is not null))[1] as org_id
      from referral_private.payments as p
      where p.account = p_account and p.livemode = p_livemode and p.payment_id = any (p_sale_ids)
      group by p.payment_id
    ),
    sold as materialized (
      select s.*, (s.best).source in ('intent', 'session') as is_intent,
        referral_private.payment_keys(p_account, p_livemode, array[s.payment_id]) as keys
      from stated as s
      where s.is_sale and (s.best).paid > 0
    ),
    made as (
      insert into referral_private.sales (
        account, livemode, sale_id, payer_id, is_guest, org_id, program_id, currency, paid, reversed, total,
        total_excluding_tax, sale_at, paid_at, warned_at
      )
      select p_account, p_livemode, s.payment_id, coalesce(s.customer_id, s.payment_id), s.customer_id is null,
        coalesce(s.org_id, (
          select min(p.org_id::text)::uuid
          from referral_private.invoice_payments as l
          join referral_private.payments as p
            on p.account = l.account and p.livemode = l.livemode and p.payment_id = l.payment_key and p.source = 'session'
          where l.account = p_account and l.livemode = p_livemode and l.invoice_id = s.payment_id
        )),
        (s.best).program_id, (s.best).currency, (s.best).paid,
        least((s.best).paid, case
          when (s.best).source = 'invoice'
          then referral_private.taken_back_of_invoice(p_account, p_livemode, s.payment_id, (s.best).currency, (s.best).paid)
          else referral_private.taken_back(p_account, p_livemode, s.keys, (s.best).currency, (s.best).paid)
        end),
        case when s.is_intent and (s.session).payment_id is not null then (s.session).total else (s.best).total end,
        case when s.is_intent and (s.session).payment_id is not null then (s.session).total_excluding_tax else (s.best).total_excluding_tax end,
        s.sale_at, s.paid_at,
        (
          select max(w.warned_at) from referral_private.warnings as w
          where w.account = p_account and w.livemode = p_livemode and w.payment_key = any (case
            when s.is_intent then s.keys
            else referral_private.payment_keys(p_account, p_livemode, array(
              select l.payment_key from referral_private.invoice_payments as l
              where l.account = p_account and l.livemode = p_livemode and l.invoice_id = s.payment_id
            ))
          end)
        )
      from sold as s
      where not (s.is_intent and exists (
        select from referral_private.invoice_payments as i
        where i.account = p_account and i.livemode = p_livemode and i.payment_key = any (s.keys)
      ))
      returning payer_id
    )
  select array_agg(m.payer_id) into v_after from made as m;
  return array(select distinct unnest(v_before || v_after));
end
$$;

revoke execute on function referral_private.project_sales from public;
