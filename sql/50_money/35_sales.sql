-- Sales: what was paid once all versions are put together, and how much of it was reversed. A projection: every row
-- can be made anew from the facts.
create table referral_private.sales (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  sale_id text collate "C" not null,
  payer_id text collate "C" not null,
  is_guest boolean not null,
  org_id uuid,
  program_id uuid,
  subscription_id text collate "C",
  object_ids text[] collate "C" not null,
  currency text collate "C" not null,
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

create index sales_by_time on referral_private.sales (paid_at, sale_id);

comment on column referral_private.sales.sale_id is
  'The invoice, or else the payment intent. An intent that pays an invoice is no sale of its own.';

comment on column referral_private.sales.payer_id is 'The customer, or the sale itself where a guest paid.';

comment on column referral_private.sales.org_id is
  'The organisation that the metadata of its objects names: of the invoice, the subscription, a session, an intent.';

comment on column referral_private.sales.object_ids is
  'The invoice, the intents and charges that paid, and the sessions of these and of the subscription.';

alter table referral_private.sales enable row level security;

-- The sales among these intents and invoices, as the facts state them, with what was reversed.
create function referral_private.sales_stated(p_stripe_account text, p_livemode boolean, p_ids text[])
returns setof referral_private.sales
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_sale referral_private.sales;
begin
  for v_sale.stripe_account, v_sale.livemode, v_sale.sale_id, v_sale.payer_id, v_sale.is_guest, v_sale.org_id,
    v_sale.program_id, v_sale.subscription_id, v_sale.object_ids, v_sale.currency, v_sale.paid, v_sale.reversed,
    v_sale.total, v_sale.total_excluding_tax, v_sale.sale_at, v_sale.paid_at, v_sale.warned_at in
    select p_stripe_account, p_livemode, t.payment_id,
      coalesce(t.customer_id, t.payment_id), t.customer_id is null, referral_private.organisation_named(t),
      (t.best).program_id, (t.best).subscription_id,
      array(
        select distinct object_id collate "C"
        from unnest(array[t.payment_id] || t.keys || t.session_ids) as object_id
        order by 1
      ),
      (t.best).currency, (t.best).paid,
      least((t.best).paid, case
        when (t.best).source = 'invoice' then referral_private.reversed_of_invoice(
          p_stripe_account, p_livemode, t.payment_id, t.keys, (t.best).currency, (t.best).paid
        )
        else referral_private.reversed_of_payment(
          p_stripe_account, p_livemode, t.keys, (t.best).currency, (t.best).paid
        )
      end)::bigint,
      (t.taxed).total, (t.taxed).total_excluding_tax, t.sale_at, t.paid_at,
      (
        select max(w.warned_at) from referral_private.warnings as w
        where w.stripe_account = p_stripe_account and w.livemode = p_livemode and w.payment_key = any (t.keys)
      )
    from referral_private.payments_together(p_stripe_account, p_livemode, p_ids) as t
  loop
    return next v_sale;
  end loop;
end
$$;

-- Sales that came, changed or went, and the payers that they had and have.
create type referral_private.changed_sales as (sale_ids text[], payer_ids text[]);

-- Whether anything changed by which a sale is settled: another object counts only if it carries something, or if a
-- decision names it.
create function referral_private.is_settled_anew(p_old referral_private.sales, p_new referral_private.sales)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_objects text[] := coalesce(p_new.object_ids, p_old.object_ids);
begin
  p_new.object_ids := p_old.object_ids;
  return p_old is distinct from p_new or exists (
    select from referral_private.payer_evidence as e
    where e.object_id = any (v_objects) and not e.object_id = any (p_old.object_ids)
      and e.stripe_account = p_old.stripe_account and e.livemode = p_old.livemode
  ) or exists (
    select from referral_private.decision_payers as d
    where d.payer_id = any (v_objects) and not d.payer_id = any (p_old.object_ids)
      and d.stripe_account = p_old.stripe_account and d.livemode = p_old.livemode
  );
end
$$;

-- Makes these sales anew from the facts. Returns those that must be settled anew.
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
  elsif v_known = '{}' then
    insert into referral_private.sales select m.* from unnest(v_made) as m;
    return (
      array(select m.sale_id from unnest(v_made) as m), array(select distinct m.payer_id from unnest(v_made) as m)
    )::referral_private.changed_sales;
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
  select m.* from unnest(v_made) as m where m.sale_id in (select unnest(v_changed));
  v_changed := array(
    select coalesce(m.sale_id, k.sale_id)
    from unnest(v_made) as m
    full join unnest(v_known) as k on k.sale_id = m.sale_id
    where referral_private.is_settled_anew(k, m)
  );
  return (
    v_changed, array(
      select distinct s.payer_id from unnest(v_known || v_made) as s where s.sale_id in (select unnest(v_changed))
    )
  )::referral_private.changed_sales;
end
$$;
