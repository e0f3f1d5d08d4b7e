-- Stores what a Stripe event says about promotion codes.

-- A discount that a customer, or an account, got by a promotion code is evidence from then on.
create function referral_private.state_discount(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_discount jsonb := p_stated.object;
  v_carrier text := coalesce(v_discount ->> 'customer', v_discount ->> 'customer_account');
  v_touched referral_private.touched := ('{}'::text[], referral_private.state_customer_account(p_stated));
begin
  if v_carrier is null or v_discount ->> 'promotion_code' is null then
    return v_touched;
  end if;
  insert into referral_private.payer_evidence (stripe_account, livemode, carrier, kind, named, object_id, carried_at)
  values (
    p_stated.stripe_account, p_stated.livemode, v_carrier, 'promotion_code',
    v_discount ->> 'promotion_code', v_discount ->> 'id', to_timestamp((v_discount ->> 'start')::bigint)
  )
  on conflict do nothing;
  if found then
    v_touched.carriers := v_touched.carriers || v_carrier;
  end if;
  return v_touched;
end
$$;

-- Which of our codes a promotion code belongs to. Payers who used it are settled too, unless the event states what is
-- known: Stripe does so with every use. Before a statement of the same second it can say something else of the time
-- before.
create function referral_private.state_promotion_code(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_evidence referral_private.payer_evidence[];
  v_promotion jsonb := p_stated.object;
  v_previous jsonb := p_stated.previous -> 'metadata';
  v_key text := referral_private.normalise_code(v_promotion -> 'metadata' ->> 'referral_code');
  v_known text := referral_private.promotion_key_at(
    p_stated.stripe_account, p_stated.livemode, v_promotion ->> 'id', p_stated.event_at
  );
begin
  insert into referral_private.promotion_code_statements (
    stripe_account, livemode, promotion_code_id, stated_at, stated_by, code_key, states_previous, previous_key
  )
  values (
    p_stated.stripe_account, p_stated.livemode, v_promotion ->> 'id', p_stated.event_at, p_stated.event_id, v_key,
    coalesce(v_previous ? 'referral_code', false), referral_private.normalise_code(v_previous ->> 'referral_code')
  )
  on conflict do nothing;
  v_evidence := array(
    select e from referral_private.payer_evidence as e
    where e.stripe_account = p_stated.stripe_account and e.livemode = p_stated.livemode
      and e.kind = 'promotion_code' and e.named = v_promotion ->> 'id'
      and (
        v_key is distinct from v_known
        or v_previous ? 'referral_code'
        or exists (
          select from referral_private.promotion_code_statements as s
          where s.promotion_code_id = e.named and s.stripe_account = p_stated.stripe_account
            and s.livemode = p_stated.livemode and s.stated_at = p_stated.event_at
            and s.stated_by > p_stated.event_id
        )
      )
  );
  return (
    referral_private.payments_of_others(v_evidence), array(select distinct e.carrier from unnest(v_evidence) as e)
  )::referral_private.touched;
end
$$;
