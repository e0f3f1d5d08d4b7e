-- A chain: a code and all codes that it was rotated into. Its id is that of its first code.

-- The chain that a code is in.
create function referral_private.chain_of(p_code_id uuid)
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (select coalesce(c.chain_id, c.id) from referral.codes as c where c.id = p_code_id);
end
$$;

-- All codes of a chain.
create function referral_private.codes_of_chain(p_org_id uuid, p_chain_id uuid)
returns uuid[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select c.id from referral.codes as c where c.org_id = p_org_id and p_chain_id in (c.id, c.chain_id)
  );
end
$$;

-- The codes whose uses are shown together: to staff a code by itself, to its referrer its chain. With a code for each
-- friend, uses per code would tell a referrer who redeemed.
create function referral_private.codes_shown_with(p_code referral.codes)
returns uuid[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if referral_private.acts_with_role(p_code.org_id, 'coordinator') then
    return array[p_code.id];
  end if;
  return referral_private.codes_of_chain(p_code.org_id, coalesce(p_code.chain_id, p_code.id));
end
$$;
