-- Organisations without a link host share one, where people can take the code of one for that of another.

-- Does a code in use of another organisation on the shared host look like this text? An organisation can have very many
-- codes of one look: its own are passed over by the index, and of others a hundred are looked at.
create function referral_private.looks_like_another(p_org_id uuid, p_code text)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key constant text := referral_private.normalise_code(p_code);
  v_look constant text := referral_private.look_of(v_key);
begin
  if (select o.link_origin from referral.organisations as o where o.id = p_org_id) is not null then
    return false;
  end if;
  return exists (
    select
    from (
      (
        select c.org_id, c.code_key
        from referral.codes as c
        where referral_private.look_of(c.code_key) = v_look and c.org_id < p_org_id
          and c.status in ('active', 'suspended')
        limit 100
      )
      union all
      (
        select c.org_id, c.code_key
        from referral.codes as c
        where referral_private.look_of(c.code_key) = v_look and c.org_id > p_org_id
          and c.status in ('active', 'suspended')
        limit 100
      )
    ) as c
    join referral.organisations as o on o.id = c.org_id
    where o.link_origin is null and c.code_key <> v_key
  );
end
$$;
