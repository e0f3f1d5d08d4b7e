-- Uses of limited codes that sign-ups have reserved: where a code is required to sign up, the limit must bind before
-- anybody redeems. A reservation is of a chain, whose redeemable codes share one quota, and lasts an hour. It is made,
-- and turned into a use, under the lock of the quota row.
create table referral_private.sign_up_reservations (
  user_id uuid not null,
  org_id uuid not null,
  chain_id uuid not null,
  expires_at timestamptz not null,
  constraint sign_up_reservations_pkey primary key (user_id),
  constraint sign_up_reservations_are_of_a_code
    foreign key (org_id, chain_id) references referral.codes (org_id, id)
      on delete restrict
);

create index sign_up_reservations_by_chain on referral_private.sign_up_reservations (org_id, chain_id, expires_at);

create index sign_up_reservations_by_age on referral_private.sign_up_reservations (expires_at);

alter table referral_private.sign_up_reservations enable row level security;

-- How many uses of a chain are reserved for others than this person: none if the person has reserved one, and it
-- matters no more that staff may have lowered the limit since.
create function referral_private.reserved_uses(p_org_id uuid, p_chain_id uuid, p_user_id uuid)
returns bigint
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select case when bool_or(r.user_id = p_user_id) then 0 else count(*) end
    from referral_private.sign_up_reservations as r
    where r.org_id = p_org_id and r.chain_id = p_chain_id and r.expires_at > clock_timestamp()
  );
end
$$;
