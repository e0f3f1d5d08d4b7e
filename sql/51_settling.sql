-- What the facts mean: which redemption a sale confirms. A function of the facts alone, so that their order cannot matter.

-- Redemptions that speak for a payer: those of the users it is linked to, then those its metadata names. Times are in
-- whole seconds, as Stripe's are.
create function referral_private.evidence_of(p_account text, p_livemode boolean, p_payer_id text)
returns table (redemption_id uuid, org_id uuid, evidence_at timestamptz, priority int)
language plpgsql
stable
rows 10
security invoker
set search_path = ''
as $$
begin
  return query
  select r.id, r.org_id, date_trunc('second', r.redeemed_at), named.priority
  from (
    select r.id, 1 as priority
    from referral_private.payer_users as l
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
end
$$;

revoke execute on function referral_private.evidence_of from public;

-- When the first sale was made that each of these redemptions wins. A sale is won by the first evidence of its payer, by
-- (time, priority, id), that is not later than the sale and not of an organisation which its metadata excludes.
create function referral_private.first_sales(p_account text, p_redemption_ids uuid[])
returns table (redemption_id uuid, first_at timestamptz)
language plpgsql
stable
rows 10
security invoker
set search_path = ''
as $$
begin
  return query
  with
    payers as (
      select l.livemode, l.payer_id
      from referral.redemptions as r
      join referral_private.payer_users as l on l.user_id = r.referee_id and l.account = p_account
      where r.id = any (p_redemption_ids)
      union
      select l.livemode, l.payer_id
      from referral_private.payer_redemptions as l
      where l.account = p_account and l.redemption_id = any (p_redemption_ids)
    ),
    evidence as (
      select p.livemode, p.payer_id, e.*
      from payers as p
      cross join lateral referral_private.evidence_of(p_account, p.livemode, p.payer_id) as e
    ),
    won as (
      select distinct on (s.livemode, s.payment_id) e.redemption_id as winner_id, s.sale_at
      from payers as p
      join referral_private.payments as s on s.account = p_account and s.livemode = p.livemode and s.payer_id = p.payer_id
      join evidence as e on e.livemode = s.livemode and e.payer_id = s.payer_id
        and e.evidence_at <= s.sale_at and (s.org_id is null or s.org_id = e.org_id)
      where s.paid > 0 and not exists (
        select from referral_private.invoiced_payments as i
        where i.account = s.account and i.livemode = s.livemode and i.payment_id = s.payment_id
      )
      order by s.livemode, s.payment_id, e.evidence_at, e.priority, e.redemption_id
    )
  select w.winner_id, min(w.sale_at) from won as w group by w.winner_id;
end
$$;

revoke execute on function referral_private.first_sales from public;

-- Brings redemptions to what the facts say: confirmed by the first sale they win inside the conversion window, else
-- not. The account lock is held exclusively. A decision of staff is not touched.
create function referral_private.settle_redemptions(p_account text, p_redemption_ids uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update referral.redemptions as r
  set confirmed_at = settled.confirmed_at,
    status = (case
      when settled.confirmed_at is not null then 'confirmed'
      when r.status = 'expired' then 'expired'
      else 'pending'
    end)::referral.redemption_status
  from (
    select r.org_id, r.id, case
      when f.first_at <= r.redeemed_at + make_interval(days => (t.terms ->> 'conversion_window_days')::int) then f.first_at
    end as confirmed_at
    from referral.redemptions as r
    join referral.program_terms as t on t.org_id = r.org_id and t.program_id = r.program_id and t.version = r.terms_version
    left join referral_private.first_sales(p_account, p_redemption_ids) as f on f.redemption_id = r.id
    where r.id = any (p_redemption_ids) and r.decision is null
  ) as settled
  where r.org_id = settled.org_id and r.id = settled.id and r.confirmed_at is distinct from settled.confirmed_at;
end
$$;

revoke execute on function referral_private.settle_redemptions from public;

-- What a payer's facts touch: every redemption that speaks for it.
create function referral_private.settle_payer(p_account text, p_livemode boolean, p_payer_id text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform referral_private.settle_redemptions(
    p_account, array(select e.redemption_id from referral_private.evidence_of(p_account, p_livemode, p_payer_id) as e)
  );
end
$$;

revoke execute on function referral_private.settle_payer from public;

-- What a change of an organisation's account touches: every payer that its redemptions speak for, on either account.
create function referral_private.settle_organisation(p_org_id uuid, p_accounts text[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform referral_private.settle_payer(payer.account, payer.livemode, payer.payer_id)
  from (
    select l.account, l.livemode, l.payer_id
    from referral.redemptions as r
    join referral_private.payer_users as l on l.user_id = r.referee_id
    where r.org_id = p_org_id
    union
    select l.account, l.livemode, l.payer_id
    from referral.redemptions as r
    join referral_private.payer_redemptions as l on l.redemption_id = r.id
    where r.org_id = p_org_id
  ) as payer
  where payer.account = any (p_accounts);
end
$$;

revoke execute on function referral_private.settle_organisation from public;
