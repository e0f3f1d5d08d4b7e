-- How each amount came about: the facts, the terms, the sum, and the events that stated them.
create type referral.commission_explanation as (
  sale_id text,
  owner_id uuid,
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
  stated_by text[]
);

-- How a target came about, in words that can be computed by hand.
create function referral_private.arithmetic_of(p_target referral_private.target)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_sale referral_private.sales := p_target.sale;
  v_text text;
begin
  if p_target.refusal is not null then
    return '0: ' || p_target.refusal;
  end if;
  v_text := case
    when p_target.reward ->> 'kind' = 'flat' then format(
      '%s × (%s − %s) / %s', p_target.reward -> 'amount' ->> v_sale.currency, v_sale.paid, v_sale.reversed, v_sale.paid
    )
    when v_sale.total <= 0 or v_sale.total_excluding_tax is null then format(
      '(%s − %s) × %s / 10000', v_sale.paid, v_sale.reversed, p_target.reward ->> 'bps'
    )
    else format(
      '(%s − %s) × %s × %s / (%s × 10000)', v_sale.paid, v_sale.reversed, greatest(v_sale.total_excluding_tax, 0),
      p_target.reward ->> 'bps', v_sale.total
    )
  end || ', rounded half up';
  if p_target.cap is not null then
    v_text := format('%s = %s, of which %s within %s for the referral', v_text, p_target.uncapped, p_target.amount, p_target.cap);
    return v_text;
  end if;
  return format('%s = %s', v_text, p_target.amount);
end
$$;

revoke execute on function referral_private.arithmetic_of from public;

-- Why a sale earned an owner what it did: the facts, the terms, the sum, and the events that stated them. For the owner
-- their own part; for staff everybody's.
create function referral_private.explain_commission(p_org_id uuid, p_sale_id text, p_owner_id uuid)
returns setof referral.commission_explanation
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_owner_id uuid := p_owner_id;
  v_account text := referral_private.account_of(p_org_id);
begin
  if p_owner_id is not null or not referral_private.acts_with_role(p_org_id, 'coordinator') then
    v_owner_id := referral_private.acting_for(p_org_id, p_owner_id);
  end if;
  return query
  select (t.sale).sale_id, t.owner_id, t.kind, t.amount, (t.sale).currency, t.refusal, referral_private.arithmetic_of(t),
    (t.sale).paid, (t.sale).reversed, (t.sale).total, (t.sale).total_excluding_tax, (t.sale).sale_at, t.available_at,
    (t.evidence).program_id, (t.evidence).terms_version, t.terms, (t.evidence).at, (t.evidence).redemption_id,
    (t.evidence).code_id, t.rank,
    referral_private.events_of_sale(v_account, s.livemode, s.sale_id)
  from referral_private.sales as s
  cross join lateral referral_private.targets_at(v_account, s.livemode, array[s.payer_id], clock_timestamp()) as t
  where s.account = v_account and s.sale_id = p_sale_id and (t.sale).sale_id = p_sale_id and (t.evidence).org_id = p_org_id
    and (v_owner_id is null or t.owner_id = v_owner_id);
end
$$;

revoke execute on function referral_private.explain_commission from public;

grant execute on function referral_private.explain_commission to authenticated, service_role;

-- The events and records from which a sale's amounts are taken.
create function referral_private.events_of_sale(p_account text, p_livemode boolean, p_sale_id text)
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_keys text[] := referral_private.payment_keys(p_account, p_livemode, array[p_sale_id] || array(
    select l.payment_key from referral_private.invoice_payments as l
    where l.account = p_account and l.livemode = p_livemode and l.invoice_id = p_sale_id
  ));
begin
  return array(
    select p.stated_by from referral_private.payments as p
    where p.account = p_account and p.livemode = p_livemode and p.payment_id = any (v_keys)
    union
    select r.stated_by from referral_private.refunds as r
    where r.account = p_account and r.livemode = p_livemode and r.payment_key = any (v_keys)
    union
    select d.stated_by from referral_private.disputes as d
    where d.account = p_account and d.livemode = p_livemode and d.payment_key = any (v_keys)
    union
    select n.stated_by from referral_private.credit_notes as n
    where n.account = p_account and n.livemode = p_livemode and n.invoice_id = p_sale_id
    order by 1
  );
end
$$;

revoke execute on function referral_private.events_of_sale from public;
