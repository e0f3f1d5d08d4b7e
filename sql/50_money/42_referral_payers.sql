-- Whose payers a decision is about: those of a referral, and those that codes reach.

-- A referral: its person, if it has one, and its payers in one mode.
create type referral_private.referral_payers as (person uuid, payer_ids text[]);

-- The referral of a person, or of a payer: the payer's person, and every payer that the referral has. A given person
-- counts before the payer's.
create function referral_private.referral_of(p_stripe_account text, p_livemode boolean, p_person uuid, p_payer_id text)
returns referral_private.referral_payers
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_payer_id constant text := referral_private.customer_of(p_stripe_account, p_livemode, p_payer_id);
  v_person uuid := p_person;
begin
  if v_person is null then
    select p.person into v_person
    from unnest(
      (referral_private.payers_together(p_stripe_account, p_livemode, array[v_payer_id])).payers
    ) as p
    where p.payer_id = v_payer_id;
  end if;
  return (
    v_person,
    array(
      select p.payer_id
      from unnest((referral_private.payers_together(
        p_stripe_account, p_livemode, referral_private.payers_of_users(p_stripe_account, p_livemode, array[v_person])
      )).payers) as p
      where p.person = v_person
      union
      select v_payer_id where v_payer_id is not null
    )
  )::referral_private.referral_payers;
end
$$;

-- The codes of a program that the objects of these payers carry, as themselves, as promotion codes, or by the id of a
-- redemption.
create function referral_private.codes_carried(
  p_stripe_account text,
  p_livemode boolean,
  p_program_id uuid,
  p_payer_ids text[]
)
returns uuid[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select k.id
    from referral_private.payer_evidence as e
    left join referral_private.promotion_code_statements as p
      on e.kind = 'promotion_code' and p.promotion_code_id = e.named
      and p.stripe_account = p_stripe_account and p.livemode = p_livemode
    left join referral.redemptions as r
      on e.kind = 'redemption_id' and r.id = referral_private.as_uuid(e.named)
    cross join lateral (
      select c.id, c.program_id from referral.codes as c where c.id = r.code_id
      union
      select c.id, c.program_id from referral.codes as c where c.code_key in (p.code_key, p.previous_key, e.named)
    ) as k
    where k.program_id = p_program_id and e.stripe_account = p_stripe_account and e.livemode = p_livemode
      and e.carrier = any (array(
        select c.carrier from referral_private.carriers_of_payers(p_stripe_account, p_livemode, p_payer_ids) as c
      ))
  );
end
$$;

-- The payers with sales whom these codes of an organisation reach: by redemptions, and by what their objects carry.
create function referral_private.payers_of_codes(
  p_stripe_account text,
  p_livemode boolean,
  p_org_id uuid,
  p_code_ids uuid[]
)
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_keys text[] := array(select c.code_key from referral.codes as c where c.id = any (p_code_ids));
  v_referees uuid[] := array(
    select distinct r.referee_id from referral.redemptions as r
    where r.org_id = p_org_id and r.code_id = any (p_code_ids)
  );
  v_names text[] := v_keys || array(
    select p.promotion_code_id from referral_private.promotion_code_statements as p
    where p.stripe_account = p_stripe_account and p.livemode = p_livemode
      and (p.code_key = any (v_keys) or p.previous_key = any (v_keys))
  );
begin
  return referral_private.payers_of_carriers(p_stripe_account, p_livemode, array(
    select unnest(referral_private.carriers_of_users(p_stripe_account, p_livemode, v_referees))
    union
    select e.carrier from referral_private.payer_evidence as e
    where e.stripe_account = p_stripe_account and e.livemode = p_livemode and e.kind >= 'metadata_code'
      and e.named = any (v_names)
  ));
end
$$;
