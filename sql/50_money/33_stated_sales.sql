-- What the facts state of a sale, before it is known how much of it was reversed: the payments of an invoice or an
-- intent put together, its sessions, its customer, and the organisation that it names.
create type referral_private.stated_sale as (
  payment_id text,
  -- The source that knows best what was paid: an intent's session only where the intent states no payment.
  best referral_private.payments,
  -- Only the session knows the tax of its intent.
  taxed referral_private.payments,
  customer_id text,
  sale_at timestamptz,
  paid_at timestamptz,
  -- All references to the payments behind it.
  keys text[],
  -- The first first.
  session_ids text[]
);

-- The sessions of a sale, the first first: of its invoice, its subscription, its intents.
create function referral_private.sessions_of(
  p_stripe_account text,
  p_livemode boolean,
  p_sale_id text,
  p_subscription_id text,
  p_keys text[]
)
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select s.session_id
    from (
      select i.* from referral_private.sessions as i where i.invoice_id = p_sale_id
      union
      select i.* from referral_private.sessions as i where i.subscription_id = p_subscription_id
      union
      select i.* from referral_private.sessions as i where i.intent_id = any (p_keys)
    ) as s
    where s.stripe_account = p_stripe_account and s.livemode = p_livemode
    order by s.made_at, s.session_id
  );
end
$$;

-- The sales among these intents and invoices: what was paid, and is no part of another sale.
create function referral_private.payments_together(p_stripe_account text, p_livemode boolean, p_ids text[])
returns setof referral_private.stated_sale
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
        (array_agg(p order by p.paid > 0 desc, p.source = 'session', p.source))[1] as best,
        (array_agg(p order by p.source) filter (where p.source = 'session'))[1] as session,
        min(coalesce(a.customer_id, p.customer_id)) as customer_id,
        min(p.sale_at) as sale_at, min(p.paid_at) as paid_at
      from referral_private.payments as p
      left join referral_private.customer_accounts as a
        on a.customer_account = p.customer_id and a.stripe_account = p_stripe_account and a.livemode = p_livemode
      where p.stripe_account = p_stripe_account and p.livemode = p_livemode and p.payment_id = any (p_ids)
      group by p.payment_id
    ),
    sold as materialized (
      select s.payment_id, s.best,
        case
          when (s.best).source in ('intent', 'session') and (s.session).payment_id is not null then s.session
          else s.best
        end as taxed,
        s.customer_id, s.sale_at, s.paid_at,
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
  select s.*, referral_private.sessions_of(
    p_stripe_account, p_livemode, s.payment_id, (s.best).subscription_id, s.keys
  )
  from sold as s
  where not ((s.best).source in ('intent', 'session') and exists (
    select from referral_private.invoice_payments as i
    where i.stripe_account = p_stripe_account and i.livemode = p_livemode and i.payment_key = any (s.keys)
  ));
end
$$;

-- The organisation that a sale's metadata names: the invoice's, else the subscription's, the first session's that
-- names one, the first intent's.
create function referral_private.organisation_named(p_sale referral_private.stated_sale)
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stripe_account constant text := (p_sale.best).stripe_account;
  v_livemode constant boolean := (p_sale.best).livemode;
  v_org_id uuid := coalesce(
    case when (p_sale.best).source in ('invoice', 'record') then (p_sale.best).org_id end,
    (p_sale.best).subscription_org_id
  );
begin
  if v_org_id is null and cardinality(p_sale.session_ids) > 0 then
    v_org_id := (
      select s.org_id from referral_private.sessions as s
      where s.stripe_account = v_stripe_account and s.livemode = v_livemode
        and s.session_id = any (p_sale.session_ids) and s.org_id is not null
      order by s.made_at, s.session_id
      limit 1
    );
  end if;
  if v_org_id is null and cardinality(p_sale.keys) > 0 then
    v_org_id := (
      select p.org_id from referral_private.payments as p
      where p.stripe_account = v_stripe_account and p.livemode = v_livemode
        and p.payment_id = any (p_sale.keys) and p.source = 'intent' and p.org_id is not null
      order by p.made_at, p.payment_id
      limit 1
    );
  end if;
  return v_org_id;
end
$$;

-- The customer that an account acts as, or the customer itself.
create function referral_private.customer_of(p_stripe_account text, p_livemode boolean, p_customer_id text)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce((
    select a.customer_id from referral_private.customer_accounts as a
    where a.customer_account = p_customer_id and a.stripe_account = p_stripe_account and a.livemode = p_livemode
  ), p_customer_id);
end
$$;
