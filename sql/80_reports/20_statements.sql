-- Statements: every entry of an earner's ledger accounts. Ids of a customer's purchases are for admins: an earner knows
-- a sale by its number.

-- The number of a sale in an organisation: that of its first entry, which says nothing of the purchase. Null where it
-- has no entry. The inner query keeps Postgres from looking for it through all entries of the organisation.
create function referral_private.sale_number(p_org_id uuid, p_stripe_account text, p_livemode boolean, p_sale_id text)
returns bigint
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- A session keeps the plan of a small table.
set enable_seqscan = off
as $$
begin
  return (
    select min(of_sale.entry_id)
    from (
      select e.entry_id from referral_private.ledger_entries as e
      where e.sale_id = p_sale_id and e.stripe_account = p_stripe_account and e.livemode = p_livemode
        and e.org_id = p_org_id
      offset 0
    ) as of_sale
  );
end
$$;

create type referral.statement_entry as (
  entry_id bigint,
  posted_at timestamptz,
  from_kind referral.account_kind,
  to_kind referral.account_kind,
  amount bigint,
  currency text,
  livemode boolean,
  sale_number bigint,
  sale_id text,
  caused_by text
);

create function referral_private.my_statement(
  p_org_id uuid,
  p_earner_id uuid default null,
  p_after bigint default null,
  p_page_size int default 100,
  p_livemode boolean default null
)
returns setof referral.statement_entry
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_earner_id uuid := referral_private.earner_to_read(p_org_id, p_earner_id);
  v_is_admin constant boolean := referral_private.acts_with_role(p_org_id, 'admin');
  v_before constant bigint := coalesce(p_after, 9223372036854775807);
begin
  -- Of this person: entries are numbered in one row, and by those of others one would learn of others' sales.
  if p_after is not null and not exists (
    select from referral_private.ledger_entries as e
    join referral_private.ledger_accounts as a
      on a.org_id = e.org_id and a.account_id in (e.debit_account_id, e.credit_account_id)
    where e.org_id = p_org_id and e.entry_id = p_after and a.earner_id = v_earner_id
  ) then
    perform referral_private.raise_error('invalid_argument', 'after: the entry_id of the last row of the page before');
  end if;
  return query
  with
    own as (
      select a.account_id from referral_private.ledger_accounts as a
      where a.org_id = p_org_id and a.earner_id = v_earner_id
        and (p_livemode is null or a.livemode = p_livemode)
    ),
    found as (
      select e.*
      from own as o
      cross join lateral (
        select d.* from referral_private.ledger_entries as d
        where d.org_id = p_org_id and d.debit_account_id = o.account_id and d.entry_id < v_before
        order by d.entry_id desc
        limit referral_private.page_size(p_page_size)
      ) as e
      union
      select e.*
      from own as o
      cross join lateral (
        select d.* from referral_private.ledger_entries as d
        where d.org_id = p_org_id and d.credit_account_id = o.account_id and d.entry_id < v_before
        order by d.entry_id desc
        limit referral_private.page_size(p_page_size)
      ) as e
    )
  select f.entry_id, f.posted_at, debit.kind, credit.kind, f.amount, f.currency, f.livemode,
    referral_private.sale_number(p_org_id, f.stripe_account, f.livemode, f.sale_id),
    case when v_is_admin then f.sale_id end, case when v_is_admin then f.caused_by end
  from found as f
  join referral_private.ledger_accounts as debit
    on debit.org_id = f.org_id and debit.account_id = f.debit_account_id
  join referral_private.ledger_accounts as credit
    on credit.org_id = f.org_id and credit.account_id = f.credit_account_id
  order by f.entry_id desc
  limit referral_private.page_size(p_page_size);
end
$$;

comment on function referral_private.my_statement is
  'public: Returns every entry of a person''s ledger accounts, newest first: an amount in minor units that went from one
kind of account to another; expense is the organisation. sale_number is the same in all entries of a sale; an entry of
a payout or an adjustment has none. sale_id, which is Stripe''s or another provider''s, and caused_by, the event or the
job, are for admins and the operator, and null for others.

group: See referrals and earnings
org_id: the organisation
earner_id: the caller unless given
after: the last entry_id of the page before; none for the first page
page_size: rows in a page, 1 to 1,000
livemode: true for live money, false for that of test mode; both unless given
callers: the person; admins and the operator for anyone
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument
timeout: 10s';

grant execute on function referral_private.my_statement to authenticated, service_role;
