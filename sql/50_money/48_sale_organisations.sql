-- Whose sale it is: the organisation that its objects name. Only that organisation's evidence can win it.

-- A code that an object names, itself, by a promotion code or by a redemption, and its organisation.
create type referral_private.named_code as (
  object_id text collate "C",
  kind referral_private.evidence_kind,
  carried_at timestamptz,
  named_id uuid,
  code_id uuid,
  org_id uuid,
  made_at timestamptz
);

-- The codes that these objects name, whoever their payers are.
create function referral_private.codes_named(p_stripe_account text, p_livemode boolean, p_object_ids text[])
returns setof referral_private.named_code
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_carried referral_private.payer_evidence[] := array(
    select e from referral_private.payer_evidence as e
    where e.object_id = any (p_object_ids) and e.stripe_account = p_stripe_account and e.livemode = p_livemode
  );
begin
  if cardinality(v_carried) = 0 then
    return;
  end if;
  return query
  with
    keyed as materialized (
      select e.object_id, e.kind, e.carried_at, referral_private.key_carried(e) as key from unnest(v_carried) as e
    )
  select e.object_id, e.kind, e.carried_at, c.id, c.id, c.org_id, c.created_at
  from keyed as e
  join referral_private.codes_by_keys(p_stripe_account, array(select k.key from keyed as k)) as c
    on c.code_key = e.key
  union
  select e.object_id, e.kind, e.carried_at, r.id, r.code_id, r.org_id, r.redeemed_at
  from unnest(v_carried) as e
  join referral.redemptions as r on r.id = e.named::uuid
  where e.kind = 'redemption_id' and referral_private.stripe_account_of(r.org_id) = p_stripe_account;
end
$$;

-- A sale with its payer, the organisation that it names, and the codes that its objects carry. A person can have very
-- many: rows in rows would take longer to unpack than to judge.
create type referral_private.named_sale as (
  sale_id text collate "C",
  payer_id text collate "C",
  group_id text collate "C",
  person uuid,
  linked_at timestamptz,
  is_guest boolean,
  org_id uuid,
  program_id uuid,
  subscription_id text collate "C",
  object_ids text[] collate "C",
  code_ids uuid[],
  currency text collate "C",
  paid bigint,
  reversed bigint,
  total bigint,
  total_excluding_tax bigint,
  sale_at timestamptz,
  paid_at timestamptz,
  warned_at timestamptz
);

-- The sales of these payers in the order in which they were paid. A sale names the organisation of its metadata, else
-- of the redemption, the code or the promotion code that its objects carry, usable or not, if it was made by then; what
-- a buyer can edit names none. What the first sale of a subscription names that names one holds for its later sales.
create function referral_private.name_sales(
  p_stripe_account text,
  p_livemode boolean,
  p_codes referral_private.named_code[],
  p_payers referral_private.payer[]
)
returns setof referral_private.named_sale
language plpgsql
stable
rows 100
security invoker
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return query
  with
    sold as materialized (
      select s.* from referral_private.sales as s
      where s.stripe_account = p_stripe_account and s.livemode = p_livemode
        and s.payer_id = any (array(select p.payer_id from unnest(p_payers) as p))
    ),
    carried as (
      select s.sale_id, array_agg(n.code_id) as code_ids,
        (array_agg(n.org_id order by n.kind, n.carried_at, n.object_id, n.named_id) filter (
          where n.kind <> 'payment_link' and date_trunc('second', n.made_at) - interval '1 minute' <= n.carried_at
        ))[1] as org_id
      from (select sold.sale_id, unnest(sold.object_ids) as part from sold where p_codes <> '{}') as s
      join unnest(p_codes) as n on n.object_id = s.part
      group by s.sale_id
    ),
    named as (
      select s.*, coalesce(s.org_id, c.org_id) as named_org_id, coalesce(c.code_ids, '{}') as code_ids
      from sold as s
      left join carried as c on c.sale_id = s.sale_id
    ),
    firsts as (
      select distinct on (n.subscription_id) n.subscription_id, n.paid_at, n.sale_id, n.named_org_id
      from named as n
      where n.subscription_id is not null and n.named_org_id is not null
      order by n.subscription_id, n.paid_at, n.sale_id
    )
  select n.sale_id, n.payer_id, p.group_id, p.person, p.linked_at, n.is_guest, coalesce(n.named_org_id, f.named_org_id),
    n.program_id, n.subscription_id, n.object_ids, n.code_ids, n.currency, n.paid, n.reversed, n.total,
    n.total_excluding_tax, n.sale_at, n.paid_at, n.warned_at
  from named as n
  join unnest(p_payers) as p on p.payer_id = n.payer_id
  left join firsts as f
    on f.subscription_id = n.subscription_id and (f.paid_at, f.sale_id) <= (n.paid_at, n.sale_id)
  order by n.paid_at, n.sale_id;
end
$$;

-- The sales of these payers, in the order in which they were paid.
create function referral_private.sales_named(
  p_stripe_account text,
  p_livemode boolean,
  p_payers referral_private.payer[]
)
returns referral_private.named_sale[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_codes referral_private.named_code[] := array(
    select c from referral_private.codes_named(p_stripe_account, p_livemode, array(
      select unnest(s.object_ids) from referral_private.sales as s
      where s.stripe_account = p_stripe_account and s.livemode = p_livemode
        and s.payer_id = any (array(select p.payer_id from unnest(p_payers) as p))
    )) as c
  );
begin
  return array(
    select n from referral_private.name_sales(p_stripe_account, p_livemode, v_codes, p_payers) as n
  );
end
$$;

-- Payments of these payers before a time that are no sales: intents that name no referral and pay no invoice. They are
-- returned as sales that name nothing.
create function referral_private.other_payments(
  p_stripe_account text,
  p_livemode boolean,
  p_together referral_private.settled_payers,
  p_before timestamptz
)
returns setof referral_private.named_sale
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_customers constant text[] := array(select c.carrier from unnest(p_together.carriers) as c);
  v_payments constant referral_private.payments[] := array(
    select p from referral_private.payments as p
    where p.customer_id = any (v_customers) and p.stripe_account = p_stripe_account and p.livemode = p_livemode
      and p.paid > 0 and p.paid_at < p_before and p.source = 'intent' and not exists (
        select from referral_private.sales as s
        where s.sale_id = p.payment_id and s.stripe_account = p_stripe_account and s.livemode = p_livemode
      ) and not exists (
        select from referral_private.invoice_payments as i
        where i.stripe_account = p_stripe_account and i.livemode = p_livemode
          and i.payment_key = any (referral_private.payment_keys(p_stripe_account, p_livemode, array[p.payment_id]))
      )
  );
  v_sale referral_private.named_sale;
begin
  if cardinality(v_payments) = 0 then
    return;
  end if;
  v_sale.code_ids := '{}';
  for v_sale.sale_id, v_sale.paid_at, v_sale.payer_id, v_sale.group_id, v_sale.linked_at in
    select distinct on (p.payment_id) p.payment_id, p.paid_at, (c.payer).payer_id, (c.payer).group_id,
      (c.payer).linked_at
    from unnest(v_payments) as p
    join referral_private.payers_by_carrier(p_together) as c on c.carrier = p.customer_id
  loop
    return next v_sale;
  end loop;
end
$$;
