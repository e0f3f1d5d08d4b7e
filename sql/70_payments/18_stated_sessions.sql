-- Stores what a Stripe event says about checkout sessions, their money aside.

-- Stores what a checkout session belongs to; of versions that contradict each other the least counts. Returns the ids
-- whose sales that touches: of a subscription, those of all its invoices.
create function referral_private.state_belongings(p_stated referral_private.stated_event)
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session referral_private.sessions;
begin
  v_session.stripe_account := p_stated.stripe_account;
  v_session.livemode := p_stated.livemode;
  v_session.session_id := p_stated.object ->> 'id';
  v_session.made_at := to_timestamp((p_stated.object ->> 'created')::bigint);
  v_session.org_id := referral_private.as_uuid(p_stated.object -> 'metadata' ->> 'referral_org_id');
  v_session.subscription_id := p_stated.object ->> 'subscription';
  v_session.invoice_id := p_stated.object ->> 'invoice';
  v_session.intent_id := p_stated.object ->> 'payment_intent';
  insert into referral_private.sessions as s
  select v_session.*
  on conflict on constraint sessions_pkey do update
  set org_id = least(s.org_id, excluded.org_id),
    subscription_id = least(s.subscription_id, excluded.subscription_id),
    invoice_id = least(s.invoice_id, excluded.invoice_id), intent_id = least(s.intent_id, excluded.intent_id);
  if v_session.intent_id is not null and v_session.invoice_id is not null then
    insert into referral_private.invoice_payments (stripe_account, livemode, object_id, invoice_id, payment_key)
    values (
      v_session.stripe_account, v_session.livemode, v_session.session_id, v_session.invoice_id, v_session.intent_id
    )
    on conflict do nothing;
  end if;
  return array_remove(array[v_session.intent_id, v_session.invoice_id], null) || array(
    select p.payment_id from referral_private.payments as p
    where p.subscription_id = v_session.subscription_id and p.stripe_account = v_session.stripe_account
      and p.livemode = v_session.livemode
  );
end
$$;
