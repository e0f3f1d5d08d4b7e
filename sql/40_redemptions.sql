-- A redemption says that a referee used a code: the audit row of the use and the claim to a reward in one.
-- It outlives the code's life and the referee's account, and stores the terms it was made under.
create type referral.redemption_status as enum ('pending', 'confirmed', 'reversed', 'expired', 'rejected');

-- How the code reached the referee. All but `typed` are proved by a click, or, the last two, by Stripe.
create type referral.provenance as enum (
  'typed',
  'link',
  'install_referrer',
  'clipboard',
  'promotion_code',
  'metadata'
);

create table referral.redemptions (
  org_id uuid not null,
  id uuid not null default gen_random_uuid(),
  program_id uuid not null,
  terms_version int not null,
  code_id uuid not null,
  referrer_id uuid,
  referee_id uuid not null,
  status referral.redemption_status not null default 'pending',
  provenance referral.provenance not null default 'typed',
  channel text,
  redeemed_at timestamptz not null default clock_timestamp(),
  confirmed_at timestamptz,
  constraint redemptions_pkey primary key (org_id, id),
  constraint redemptions_one_per_referee unique (org_id, program_id, referee_id),
  constraint redemptions_use_a_code
    foreign key (org_id, code_id) references referral.codes (org_id, id)
      on delete restrict,
  constraint redemptions_have_terms
    foreign key (org_id, program_id, terms_version) references referral.program_terms (org_id, program_id, version)
      on delete restrict,
  constraint redemptions_no_self_referral check (referee_id != referrer_id),
  constraint redemptions_channel_is_a_label check (channel ~ '^[a-z0-9_]{1,32}$'),
  constraint redemptions_confirmed_say_when check (status != 'confirmed' or confirmed_at is not null),
  constraint redemptions_pending_are_unconfirmed check (status != 'pending' or confirmed_at is null)
);

create unique index redemptions_no_mutual_pair on referral.redemptions (
  org_id,
  program_id,
  least(referrer_id, referee_id),
  greatest(referrer_id, referee_id)
)
where referrer_id is not null;

create index redemptions_by_referrer on referral.redemptions (referrer_id, org_id, redeemed_at desc, id);

create index redemptions_by_id on referral.redemptions (id);

create index redemptions_by_referee on referral.redemptions (referee_id);

create index redemptions_by_code on referral.redemptions (org_id, code_id, redeemed_at desc);

create index redemptions_by_terms on referral.redemptions (org_id, program_id, terms_version);

comment on table referral.redemptions is
  'Uses of codes. Read by coordinators and admins of the organisation; referrers see theirs without identities through my_referrals. Written by redeem_code and by what Stripe events confirm.';

alter table referral.redemptions enable row level security;

create policy redemptions_staff_reads on referral.redemptions
for select
to authenticated
using (org_id in (select referral_private.orgs_with_role('coordinator')));

grant select on referral.redemptions to authenticated, service_role;

create function referral_private.my_referrals(p_org_id uuid)
returns table (
  redemption_id uuid,
  status referral.redemption_status,
  redeemed_at timestamptz,
  confirmed_at timestamptz,
  channel text
)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := referral_private.require_person();
begin
  if p_org_id is null then
    perform referral_private.raise_error('invalid_argument', 'org_id');
  end if;
  return query
  select r.id, r.status, r.redeemed_at, r.confirmed_at, r.channel
  from referral.redemptions as r
  where r.referrer_id = v_user_id and r.org_id = p_org_id
  order by r.redeemed_at desc, r.id;
end
$$;

revoke execute on function referral_private.my_referrals from public;

grant execute on function referral_private.my_referrals to authenticated;
