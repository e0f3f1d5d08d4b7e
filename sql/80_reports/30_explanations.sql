-- How each amount came about: the facts, the terms, the arithmetic, and the events that stated the facts.
create type referral.commission_explanation as (
  sale_number bigint,
  sale_id text,
  livemode boolean,
  earner_id uuid,
  kind referral.account_kind,
  amount bigint,
  currency text,
  refusal text,
  arithmetic text,
  paid bigint,
  reversed bigint,
  total bigint,
  total_excluding_tax bigint,
  sale_at timestamptz,
  available_at timestamptz,
  program_id uuid,
  terms_version int,
  terms jsonb,
  evidence_at timestamptz,
  redemption_id uuid,
  code_id uuid,
  rank int,
  event_ids text[],
  settlement_pending boolean
);

-- How the amount of a target came about, in words that can be computed by hand.
create function referral_private.arithmetic_of(
  p_target referral_private.target,
  p_sale referral_private.sales,
  p_terms jsonb
)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_amount numeric := (p_target.reward -> 'amount' ->> p_sale.currency)::numeric;
  v_is_above boolean := coalesce((p_terms -> 'flat_above_sale')::boolean, false);
  v_worth bigint := referral_private.reward_on(
    p_target.reward, (
      p_sale.currency, p_sale.paid, p_sale.reversed, p_sale.total, p_sale.total_excluding_tax
    )::referral_private.price, v_is_above
  );
  v_text text;
begin
  if p_target.refusal is not null then
    return '0: ' || p_target.refusal;
  end if;
  v_text := case
    when not v_is_above and p_sale.total > 0 and p_sale.total_excluding_tax is not null
      and v_amount * p_sale.total > p_sale.paid::numeric * greatest(p_sale.total_excluding_tax, 0) then format(
      'at most the price without tax: (%s − %s) × %s / %s', p_sale.paid, p_sale.reversed,
      greatest(p_sale.total_excluding_tax, 0), p_sale.total
    )
    when not v_is_above and v_amount > p_sale.paid
      then format('at most the price: %s − %s', p_sale.paid, p_sale.reversed)
    when v_amount is not null then format(
      '%s × (%s − %s) / %s', p_target.reward -> 'amount' ->> p_sale.currency, p_sale.paid, p_sale.reversed, p_sale.paid
    )
    when p_sale.total <= 0 or p_sale.total_excluding_tax is null then format(
      '(%s − %s) × %s / 10000', p_sale.paid, p_sale.reversed, p_target.reward ->> 'bps'
    )
    else format(
      '(%s − %s) × %s × %s / (%s × 10000)', p_sale.paid, p_sale.reversed, greatest(p_sale.total_excluding_tax, 0),
      p_target.reward ->> 'bps', p_sale.total
    )
  end || ', rounded half up';
  if p_target.cap is not null then
    return format(
      '%s = %s, of which %s within %s for the referral', v_text, p_target.uncapped, p_target.amount, p_target.cap
    );
  end if;
  if p_target.amount < v_worth then
    return format('%s = %s, of which %s beside the commission', v_text, v_worth, p_target.amount);
  end if;
  return format('%s = %s', v_text, p_target.amount);
end
$$;

-- The events and records from which a sale's amounts are taken.
create function referral_private.events_of_sale(p_stripe_account text, p_livemode boolean, p_sale_id text)
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_keys text[] := referral_private.payment_keys(p_stripe_account, p_livemode, array[p_sale_id] || array(
    select l.payment_key from referral_private.invoice_payments as l
    where l.stripe_account = p_stripe_account and l.livemode = p_livemode and l.invoice_id = p_sale_id
  ));
begin
  return array(
    select p.stated_by from referral_private.payments as p
    where p.stripe_account = p_stripe_account and p.livemode = p_livemode and p.payment_id = any (v_keys)
    union
    select r.stated_by from referral_private.refunds as r
    where r.stripe_account = p_stripe_account and r.livemode = p_livemode and r.payment_key = any (v_keys)
    union
    select d.stated_by from referral_private.disputes as d
    where d.stripe_account = p_stripe_account and d.livemode = p_livemode and d.payment_key = any (v_keys)
    union
    select n.stated_by from referral_private.credit_notes as n
    where n.stripe_account = p_stripe_account and n.livemode = p_livemode and n.invoice_id = p_sale_id
    order by 1
  );
end
$$;

-- The sale that a number means in an organisation, by one of its entries; null where it means none.
create function referral_private.sale_numbered(p_org_id uuid, p_sale_number bigint)
returns referral_private.ledger_entries
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_entry referral_private.ledger_entries;
begin
  select * into v_entry
  from referral_private.ledger_entries as e
  where e.org_id = p_org_id and e.entry_id = p_sale_number
    and e.entry_id = referral_private.sale_number(e.org_id, e.stripe_account, e.livemode, e.sale_id);
  return v_entry;
end
$$;

create function referral_private.explain_commission(
  p_org_id uuid,
  p_sale_number bigint default null,
  p_earner_id uuid default null,
  p_livemode boolean default null,
  p_sale_id text default null
)
returns setof referral.commission_explanation
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_earner_id uuid := p_earner_id;
  v_stripe_account text := referral_private.stripe_account_of(p_org_id);
  v_is_staff boolean := referral_private.acts_with_role(p_org_id, 'coordinator');
  v_is_admin constant boolean := coalesce(referral_private.acts_with_role(p_org_id, 'admin'), false);
  v_entry referral_private.ledger_entries;
begin
  if v_is_admin or p_sale_id is not null then
    perform referral_private.require_role(p_org_id, 'admin');
  end if;
  if p_earner_id is not null or not v_is_admin then
    v_earner_id := referral_private.earner_to_read(p_org_id, p_earner_id);
  end if;
  if num_nonnulls(p_sale_number, p_sale_id) <> 1 then
    perform referral_private.raise_error('invalid_argument', 'sale_number: it, or sale_id, and not both');
  end if;
  v_entry := referral_private.sale_numbered(p_org_id, p_sale_number);
  return query
  select referral_private.sale_number(p_org_id, v_stripe_account, s.livemode, s.sale_id),
    case when v_is_admin then s.sale_id end, s.livemode, t.earner_id, t.kind, t.amount, t.currency,
    t.refusal, referral_private.arithmetic_of(t, s, e.terms), s.paid, s.reversed, s.total, s.total_excluding_tax,
    s.sale_at, t.available_at, e.program_id, e.terms_version, e.terms, e.at, e.redemption_id,
    case when v_is_staff then e.code_id else e.chain_id end, t.rank,
    case when v_is_admin then referral_private.events_of_sale(v_stripe_account, s.livemode, s.sale_id) end,
    referral_private.is_settlement_pending(p_org_id, s.livemode)
  from referral_private.sales as s
  cross join lateral referral_private.settlement_of(
    v_stripe_account, s.livemode,
    referral_private.payers_together(v_stripe_account, s.livemode, array[s.payer_id])
  ) as settled
  cross join lateral referral_private.targets_of(settled, clock_timestamp()) as t
  join lateral unnest(settled.evidence) with ordinality as e on e.ordinality = t.n
  where s.stripe_account = v_stripe_account and s.sale_id = coalesce(p_sale_id, v_entry.sale_id)
    and (v_entry.livemode is null or s.livemode = v_entry.livemode) and t.sale_id = s.sale_id
    and t.org_id = p_org_id and (v_earner_id is null or t.earner_id = v_earner_id)
    and (p_livemode is null or s.livemode = p_livemode);
end
$$;

comment on function referral_private.explain_commission is
  'public: Returns why a sale earned what it did: facts, terms, arithmetic; for admins and the operator the sale''s id
and the ids of the events that stated the facts, too. Admins see every person''s part. No row where the sale had no
evidence when it was paid, or no part is the person''s. To people who are not
staff code_id is the first code of its chain, not the rotated one that the friend used. settlement_pending: something
waits to be settled, and the ledger may not have these amounts yet.

group: See referrals and earnings
org_id: the organisation
sale_number: the sale, as in my_statement; either this or sale_id
earner_id: the caller unless given; for admins and the operator, everyone unless given
livemode: true for live money, false for that of test mode; both unless given
sale_id: for admins and the operator: Stripe''s invoice or payment intent; of a recorded payment
  provider:org_id:payment_ref, as in my_statement
callers: the person; admins and the operator for anyone
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument
timeout: 10s';

grant execute on function referral_private.explain_commission to authenticated, service_role;
