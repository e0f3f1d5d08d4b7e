-- Whose sale it is can be said by an object of another payer's.

-- The payments that sessions with this evidence name, their own, the invoices that their intent pays, or those of their
-- subscription, and that are another payer's: what an object carries says whose sale it is, whoever pays.
create function referral_private.payments_of_others(p_evidence referral_private.payer_evidence[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select distinct p.payment_id
    from unnest(p_evidence) as e
    join referral_private.sessions as s
      on s.session_id = e.object_id and s.stripe_account = e.stripe_account and s.livemode = e.livemode
    cross join lateral (
      select named.* from referral_private.payments as named
      where named.payment_id in (s.intent_id, s.invoice_id) and named.stripe_account = e.stripe_account
        and named.livemode = e.livemode
      union all
      select invoiced.*
      from referral_private.invoice_payments as l
      join referral_private.payments as invoiced
        on invoiced.payment_id = l.invoice_id and invoiced.stripe_account = l.stripe_account
        and invoiced.livemode = l.livemode
      where l.payment_key = s.intent_id and l.stripe_account = e.stripe_account and l.livemode = e.livemode
      union all
      select renewed.* from referral_private.payments as renewed
      where renewed.subscription_id = s.subscription_id and renewed.stripe_account = e.stripe_account
        and renewed.livemode = e.livemode
    ) as p
    where p.customer_id is distinct from e.carrier
  );
end
$$;
