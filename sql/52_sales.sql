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
