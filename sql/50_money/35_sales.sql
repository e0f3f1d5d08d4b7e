-- Sales: what was paid once all versions are put together, and how much of it was reversed. A projection: every row
-- can be made anew from the facts.
create table referral_private.sales (
  stripe_account text not null,
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
  constraint sales_pkey primary key (sale_id, stripe_account, livemode),
  constraint sales_are_of_something check (paid > 0),
  constraint sales_reversed_at_most_paid check (reversed between 0 and paid)
);

create index sales_by_payer on referral_private.sales (payer_id, stripe_account, livemode);

comment on column referral_private.sales.sale_id is
  'The invoice, or else the payment intent. An intent that pays an invoice is no sale of its own.';

comment on column referral_private.sales.payer_id is 'The customer, or the sale itself where a guest paid.';

alter table referral_private.sales enable row level security;

-- The sales among these intents and invoices, as the facts state them: paid, no part of another, with what was
-- reversed.
create function referral_private.sales_stated(p_stripe_account text, p_livemode boolean, p_ids text[])
returns setof referral_private.sales
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  with
    stated as (
      select p.payment_id,
        -- The source that knows best what was paid counts: an intent's session only where the intent states no payment.
        (array_agg(p order by p.paid > 0 desc, p.source = 'session', p.source))[1] as best,
        -- Only the session knows the tax of its intent.
        (array_agg(p order by p.source) filter (where p.source = 'session'))[1] as session,
        min(p.customer_id) as customer_id,
        min(p.sale_at) as sale_at,
        min(p.paid_at) as paid_at,
        (array_agg(p.org_id order by p.source) filter (where p.org_id is not null))[1] as org_id
      from referral_private.payments as p
      where p.stripe_account = p_stripe_account and p.livemode = p_livemode and p.payment_id = any (p_ids)
      group by p.payment_id
    ),
    sold as materialized (
      select s.*, (s.best).source in ('intent', 'session') as is_intent,
        case
          when (s.best).source in ('intent', 'session') and (s.session).payment_id is not null then s.session
          else s.best
        end as taxed,
        -- All references to the payments behind it.
        referral_private.payment_keys(p_stripe_account, p_livemode, case
          when (s.best).source = 'invoice' then array(
            select l.payment_key from referral_private.invoice_payments as l
            where l.stripe_account = p_stripe_account and l.livemode = p_livemode and l.invoice_id = s.payment_id
          )
          else array[s.payment_id]
        end) as keys
      from stated as s
      where (s.best).paid > 0
    )
  select p_stripe_account, p_livemode, s.payment_id, coalesce(s.customer_id, s.payment_id), s.customer_id is null,
    coalesce(s.org_id, (
      select min(p.org_id::text)::uuid
      from referral_private.payments as p
      where p.stripe_account = p_stripe_account and p.livemode = p_livemode and p.payment_id = any (s.keys)
        and p.source = 'session'
    )),
    (s.best).program_id, (s.best).currency, (s.best).paid,
    least((s.best).paid, case
      when (s.best).source = 'invoice' then referral_private.reversed_of_invoice(
        p_stripe_account, p_livemode, s.payment_id, s.keys, (s.best).currency, (s.best).paid
      )
      else referral_private.reversed_of_payment(
        p_stripe_account, p_livemode, s.keys, (s.best).currency, (s.best).paid
      )
    end)::bigint,
    (s.taxed).total, (s.taxed).total_excluding_tax, s.sale_at, s.paid_at,
    (
      select max(w.warned_at) from referral_private.warnings as w
      where w.stripe_account = p_stripe_account and w.livemode = p_livemode and w.payment_key = any (s.keys)
    )
  from sold as s
  where not (s.is_intent and exists (
    select from referral_private.invoice_payments as i
    where i.stripe_account = p_stripe_account and i.livemode = p_livemode and i.payment_key = any (s.keys)
  ));
end
$$;

-- Sales that came, changed or went, and the payers that they had and have.
create type referral_private.changed_sales as (sale_ids text[], payer_ids text[]);

-- Makes these sales anew from the facts. Returns those that changed.
create function referral_private.project_sales(p_stripe_account text, p_livemode boolean, p_sale_ids text[])
returns referral_private.changed_sales
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_known referral_private.sales[] := array(
    select s from referral_private.sales as s
    where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.sale_id = any (p_sale_ids)
    order by s.sale_id
  );
  -- Most events touch nothing that could be a sale: an intent is one only where it or a session names a referral.
  v_candidates text[] := array(
    select distinct p.payment_id from referral_private.payments as p
    where p.stripe_account = p_stripe_account and p.livemode = p_livemode and p.payment_id = any (p_sale_ids)
      and (p.names_referral or p.source <> 'intent')
  );
  v_made referral_private.sales[] := '{}';
  v_changed text[];
begin
  if cardinality(v_candidates) > 0 then
    v_made := array(
      select s from referral_private.sales_stated(p_stripe_account, p_livemode, v_candidates) as s order by s.sale_id
    );
  end if;
  if v_made = v_known then
    return ('{}'::text[], '{}'::text[])::referral_private.changed_sales;
  end if;
  v_changed := array(
    select coalesce(m.sale_id, k.sale_id)
    from unnest(v_made) as m
    full join unnest(v_known) as k on k.sale_id = m.sale_id
    where m is distinct from k
  );
  delete from referral_private.sales as s
  where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.sale_id = any (v_changed);
  insert into referral_private.sales
  select m.* from unnest(v_made) as m where m.sale_id = any (v_changed);
  return (
    v_changed, array(select distinct s.payer_id from unnest(v_known || v_made) as s where s.sale_id = any (v_changed))
  )::referral_private.changed_sales;
end
$$;
