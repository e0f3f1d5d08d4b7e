-- Facts about payments, as Stripe states them, and the one thing derived from them so far: which redemption a sale
-- confirms. Facts are keyed by Stripe account ('' is the platform's own), livemode and object, only ever grow, and
-- hold no personal data. What is derived is a function of the facts alone, so the order of events cannot matter.
create table referral_private.payments (
  account text not null,
  livemode boolean not null,
  payment_id text not null,
  payer_id text not null,
  org_id uuid,
  currency text not null,
  paid bigint not null,
  total bigint not null,
  total_excluding_tax bigint,
  sale_at timestamptz not null,
  constraint payments_pkey primary key (account, livemode, payment_id),
  constraint payments_currency_is_a_code check (currency ~ '^[a-z]{3}$'),
  constraint payments_amounts_are_exact_in_javascript
    check (
      paid between 0 and 9007199254740991
      and abs(total) <= 9007199254740991
      and abs(total_excluding_tax) <= 9007199254740991
    )
);

create index payments_by_payer on referral_private.payments (account, livemode, payer_id, sale_at);

comment on column referral_private.payments.payment_id is
  'The sale: an invoice (in_…), or a payment intent (pi_…) that belongs to none.';

comment on column referral_private.payments.payer_id is 'The customer, or the payment itself where a guest paid.';

comment on column referral_private.payments.org_id is 'Set where the metadata restricts the sale to one organisation.';

-- Identity: this payer is this user. Not evidence of a referral by itself.
create table referral_private.payer_users (
  account text not null,
  livemode boolean not null,
  payer_id text not null,
  user_id uuid not null,
  constraint payer_users_pkey primary key (account, livemode, payer_id, user_id)
);

create index payer_users_by_user on referral_private.payer_users (user_id);

-- Evidence: the app's backend named this redemption in the metadata of something the payer paid.
create table referral_private.payer_redemptions (
  account text not null,
  livemode boolean not null,
  payer_id text not null,
  redemption_id uuid not null,
  constraint payer_redemptions_pkey primary key (account, livemode, payer_id, redemption_id)
);

create index payer_redemptions_by_redemption on referral_private.payer_redemptions (redemption_id);

alter table referral_private.payments enable row level security;

alter table referral_private.payer_users enable row level security;

alter table referral_private.payer_redemptions enable row level security;

create function referral_private.account_lock_key(p_account text)
returns bigint
language sql
immutable
security invoker
set search_path = ''
as $$
  select hashtextextended('referral.account:' || p_account, 0);
$$;

revoke execute on function referral_private.account_lock_key from public;

-- One lock per Stripe account, held until the transaction ends: whoever states facts or settles takes it first, so
-- that no two settlements see different halves of the truth. Finer locks do not do: a subscription's session and its
-- first invoice share neither a payment nor a sale.
create function referral_private.lock_account(p_account text)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  select pg_advisory_xact_lock(referral_private.account_lock_key(p_account));
$$;

revoke execute on function referral_private.lock_account from public;

create function referral_private.account_of(p_org_id uuid)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(o.stripe_account_id, '') from referral.organisations as o where o.id = p_org_id;
$$;

revoke execute on function referral_private.account_of from public;

-- Redemptions that speak for a payer: those of the users it is linked to, then those its metadata names.
create function referral_private.evidence_of(p_account text, p_livemode boolean, p_payer_id text)
returns table (redemption_id uuid, org_id uuid, evidence_at timestamptz, priority int)
language sql
stable
security invoker
set search_path = ''
as $$
  select r.id, r.org_id, date_trunc('second', r.redeemed_at), named.priority
  from
    (
      select r.id, 1 as priority
      from
        referral_private.payer_users as l
        join referral.redemptions as r on r.referee_id = l.user_id
      where l.account = p_account and l.livemode = p_livemode and l.payer_id = p_payer_id
      union all
      select l.redemption_id, 2
      from referral_private.payer_redemptions as l
      where l.account = p_account and l.livemode = p_livemode and l.payer_id = p_payer_id
    ) as named
    join referral.redemptions as r on r.id = named.id
    join referral.organisations as o on o.id = r.org_id
  where coalesce(o.stripe_account_id, '') = p_account;
$$;

revoke execute on function referral_private.evidence_of from public;

-- The redemption that wins a sale: the first by (time, priority, id) that is not later than the sale. Times are in
-- whole seconds, as Stripe's are.
create function referral_private.winner_of(p_sale referral_private.payments)
returns uuid
language sql
stable
security invoker
set search_path = ''
as $$
  select e.redemption_id
  from referral_private.evidence_of(p_sale.account, p_sale.livemode, p_sale.payer_id) as e
  where e.evidence_at <= p_sale.sale_at and (p_sale.org_id is null or p_sale.org_id = e.org_id)
  order by e.evidence_at, e.priority, e.redemption_id
  limit 1;
$$;

revoke execute on function referral_private.winner_of from public;

-- When the first sale that a redemption wins was made; null where it wins none.
create function referral_private.first_sale_of(p_account text, p_redemption_id uuid)
returns timestamptz
language sql
stable
security invoker
set search_path = ''
as $$
  select min(p.sale_at)
  from
    (
      select l.livemode, l.payer_id
      from
        referral.redemptions as r
        join referral_private.payer_users as l on l.user_id = r.referee_id and l.account = p_account
      where r.id = p_redemption_id
      union
      select l.livemode, l.payer_id
      from referral_private.payer_redemptions as l
      where l.redemption_id = p_redemption_id and l.account = p_account
    ) as payer
    join referral_private.payments as p
      on p.account = p_account and p.livemode = payer.livemode and p.payer_id = payer.payer_id
  where p.paid > 0 and referral_private.winner_of(p) = p_redemption_id;
$$;

revoke execute on function referral_private.first_sale_of from public;

-- Brings redemptions to what the facts say: confirmed by the first sale they win inside the conversion window, else
-- pending. The account lock is held exclusively. A staff decision is not touched.
create function referral_private.settle_redemptions(p_account text, p_redemption_ids uuid[])
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  update referral.redemptions as r
  set
    confirmed_at = settled.confirmed_at,
    status = (
      case
        when settled.confirmed_at is null then 'pending'
        else 'confirmed'
      end
    )::referral.redemption_status
  from
    (
      select
        r.org_id,
        r.id,
        case
          when sale.first_at <= r.redeemed_at + make_interval(
            days => (t.terms ->> 'conversion_window_days')::int
          ) then sale.first_at
        end as confirmed_at
      from
        referral.redemptions as r
        join referral.program_terms as t
          on t.org_id = r.org_id and t.program_id = r.program_id and t.version = r.terms_version
        cross join lateral (select referral_private.first_sale_of(p_account, r.id) as first_at) as sale
      where r.id = any (p_redemption_ids) and r.decision is null
    ) as settled
  where r.org_id = settled.org_id and r.id = settled.id and r.confirmed_at is distinct from settled.confirmed_at;
$$;

revoke execute on function referral_private.settle_redemptions from public;

-- What a payer's facts touch: every redemption that speaks for it.
create function referral_private.settle_payer(p_account text, p_livemode boolean, p_payer_id text)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  select
    referral_private.settle_redemptions(
      p_account,
      array(select e.redemption_id from referral_private.evidence_of(p_account, p_livemode, p_payer_id) as e)
    );
$$;

revoke execute on function referral_private.settle_payer from public;
