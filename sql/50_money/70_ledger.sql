-- The ledger: debits and credits in pairs, which are never changed. Each earner has accounts per kind and currency
-- with a stored balance; the organisation's expense is the other side. Currencies never mix, nor do test mode and
-- live mode.
create table referral_private.ledger_accounts (
  org_id uuid not null,
  account_id bigint generated always as identity,
  livemode boolean not null,
  earner_id uuid,
  kind referral.account_kind not null,
  currency text collate "C" not null,
  balance bigint not null default 0,
  constraint ledger_accounts_pkey primary key (org_id, account_id),
  constraint ledger_accounts_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict,
  constraint ledger_accounts_expense_is_the_organisations check ((earner_id is null) = (kind = 'expense')),
  constraint ledger_accounts_expense_is_not_summed check (kind != 'expense' or balance = 0),
  constraint ledger_accounts_currency_is_a_code check (currency ~ '^[a-z]{3}$'),
  constraint ledger_accounts_balance_is_exact_in_javascript check (abs(balance) <= 9007199254740991)
);

create unique index ledger_accounts_one_per_earner_and_kind on referral_private.ledger_accounts (
  org_id,
  livemode,
  coalesce(earner_id, '00000000-0000-0000-0000-000000000000'),
  kind,
  currency
);

create index ledger_accounts_by_earner on referral_private.ledger_accounts (org_id, earner_id, currency, livemode);

alter table referral_private.ledger_accounts enable row level security;

-- An entry belongs to a sale, or to what is paid out or adjusted.
create table referral_private.ledger_entries (
  org_id uuid not null,
  entry_id bigint generated always as identity,
  debit_account_id bigint not null,
  credit_account_id bigint not null,
  amount bigint not null,
  currency text collate "C" not null,
  reason_key text collate "C" not null,
  livemode boolean not null,
  stripe_account text collate "C",
  sale_id text collate "C",
  payout_id uuid,
  adjustment_id uuid,
  caused_by text collate "C" not null,
  posted_at timestamptz not null default clock_timestamp(),
  constraint ledger_entries_pkey primary key (org_id, entry_id),
  constraint ledger_entries_reason_is_unique unique (org_id, reason_key),
  constraint ledger_entries_debit_an_account
    foreign key (org_id, debit_account_id) references referral_private.ledger_accounts (org_id, account_id)
      on delete restrict,
  constraint ledger_entries_credit_an_account
    foreign key (org_id, credit_account_id) references referral_private.ledger_accounts (org_id, account_id)
      on delete restrict,
  constraint ledger_entries_belong_to_one_thing check (num_nonnulls(sale_id, payout_id, adjustment_id) = 1),
  constraint ledger_entries_sales_have_a_stripe_account check ((sale_id is null) = (stripe_account is null)),
  constraint ledger_entries_are_between_two check (debit_account_id != credit_account_id),
  constraint ledger_entries_amount_is_positive check (amount > 0 and amount <= 9007199254740991)
);

create index ledger_entries_by_debit on referral_private.ledger_entries (org_id, debit_account_id, entry_id);

create index ledger_entries_by_credit on referral_private.ledger_entries (org_id, credit_account_id, entry_id);

-- Nearly every entry has the organisation's account on one side, which tells nothing about those of earners: with this
-- the planner looks them up by these indexes, and does not walk through all of the organisation.
alter table referral_private.ledger_entries
alter column debit_account_id set (n_distinct = -0.1),
alter column credit_account_id set (n_distinct = -0.1);

create index ledger_entries_by_sale on referral_private.ledger_entries (sale_id, stripe_account, livemode);

alter table referral_private.ledger_entries enable row level security;

-- What is posted of each sale to each earner and kind: the sum of its entries. The next posting is the difference to
-- what the sale's target says then.
create table referral_private.postings (
  org_id uuid not null,
  stripe_account text collate "C" not null,
  livemode boolean not null,
  sale_id text collate "C" not null,
  earner_id uuid not null,
  kind referral.account_kind not null,
  currency text collate "C" not null,
  amount bigint not null,
  entries int not null,
  -- When what is on hold becomes available, as the facts stand.
  due_at timestamptz,
  constraint postings_pkey primary key (org_id, sale_id, earner_id, kind, currency, stripe_account, livemode),
  constraint postings_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict,
  constraint postings_are_exact_in_javascript check (amount between 0 and 9007199254740991)
);

create index postings_due on referral_private.postings (due_at)
where kind in ('pending', 'reward_pending') and amount > 0;

create index postings_by_sale on referral_private.postings (sale_id, stripe_account, livemode);

alter table referral_private.postings enable row level security;

create trigger ledger_entries_are_append_only
before update or delete or truncate on referral_private.ledger_entries
for each statement
execute function referral_private.refuse_change();

alter table referral_private.ledger_entries enable always trigger ledger_entries_are_append_only;

-- The account of an earner, or, for the expense, of the organisation.
create type referral_private.account_name as (
  org_id uuid,
  livemode boolean,
  earner_id uuid,
  kind referral.account_kind,
  currency text
);

-- These accounts, each made if it does not exist yet. Those of earners are locked, in one order.
create function referral_private.lock_ledger_accounts(p_names referral_private.account_name[])
returns referral_private.ledger_accounts[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_org_ids constant uuid[] := array(select distinct n.org_id from unnest(p_names) as n order by 1);
  v_earner_ids constant uuid[] := array(select distinct n.earner_id from unnest(p_names) as n);
  v_org_id uuid;
  v_accounts referral_private.ledger_accounts[];
  v_missing referral_private.account_name[];
begin
  loop
    v_accounts := '{}';
    -- One by one: with two lists, and without statistics, all accounts of the organisations would be read.
    foreach v_org_id in array v_org_ids loop
      v_accounts := v_accounts || array(
        select a from referral_private.ledger_accounts as a
        where a.org_id = v_org_id and a.earner_id = any (v_earner_ids)
        order by a.account_id
        for no key update
      ) || array(
        select a from referral_private.ledger_accounts as a where a.org_id = v_org_id and a.earner_id is null
      );
    end loop;
    v_missing := array(
      select n from unnest(p_names) as n
      except
      select (a.org_id, a.livemode, a.earner_id, a.kind, a.currency)::referral_private.account_name
      from unnest(v_accounts) as a
    );
    if cardinality(v_missing) = 0 then
      return v_accounts;
    end if;
    insert into referral_private.ledger_accounts (org_id, livemode, earner_id, kind, currency)
    select n.org_id, n.livemode, n.earner_id, n.kind, n.currency from unnest(v_missing) as n order by 1, 2, 3, 4, 5;
  end loop;
end
$$;
