-- The ledger: debits and credits in pairs, which are never changed. Each owner has accounts per kind and currency with a
-- stored balance; the organisation's expense is the other side. Currencies never mix, nor do test mode and live mode.
create type referral.account_kind as enum ('expense', 'pending', 'available', 'in_transit', 'paid', 'reward');

create table referral_private.ledger_accounts (
  org_id uuid not null,
  account_id bigint generated always as identity,
  livemode boolean not null,
  owner_id uuid,
  kind referral.account_kind not null,
  currency text not null,
  balance bigint not null default 0,
  constraint ledger_accounts_pkey primary key (org_id, account_id),
  constraint ledger_accounts_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict,
  constraint ledger_accounts_expense_is_the_organisations check ((owner_id is null) = (kind = 'expense')),
  constraint ledger_accounts_expense_is_not_summed check (kind != 'expense' or balance = 0),
  constraint ledger_accounts_currency_is_a_code check (currency ~ '^[a-z]{3}$'),
  constraint ledger_accounts_balance_is_exact_in_javascript check (abs(balance) <= 9007199254740991)
);

create unique index ledger_accounts_one_per_owner_and_kind on referral_private.ledger_accounts (
  org_id,
  livemode,
  coalesce(owner_id, '00000000-0000-0000-0000-000000000000'),
  kind,
  currency
);

create index ledger_accounts_by_owner on referral_private.ledger_accounts (owner_id, org_id);

create table referral_private.ledger_entries (
  org_id uuid not null,
  entry_id bigint generated always as identity,
  debit_account_id bigint not null,
  credit_account_id bigint not null,
  amount bigint not null,
  currency text not null,
  reason_key text not null,
  account text not null,
  livemode boolean not null,
  sale_id text not null,
  caused_by text not null,
  posted_at timestamptz not null default clock_timestamp(),
  constraint ledger_entries_pkey primary key (org_id, entry_id),
  constraint ledger_entries_reason_is_unique unique (org_id, reason_key),
  constraint ledger_entries_debit_an_account
    foreign key (org_id, debit_account_id) references referral_private.ledger_accounts (org_id, account_id)
      on delete restrict,
  constraint ledger_entries_credit_an_account
    foreign key (org_id, credit_account_id) references referral_private.ledger_accounts (org_id, account_id)
      on delete restrict,
  constraint ledger_entries_are_between_two check (debit_account_id != credit_account_id),
  constraint ledger_entries_amount_is_positive check (amount > 0 and amount <= 9007199254740991)
);

create index ledger_entries_by_debit on referral_private.ledger_entries (org_id, debit_account_id, entry_id);

create index ledger_entries_by_credit on referral_private.ledger_entries (org_id, credit_account_id, entry_id);

create index ledger_entries_by_sale on referral_private.ledger_entries (org_id, sale_id, entry_id);

-- What is posted of each sale to each owner and kind: the sum of its entries. The next posting is the difference to what
-- the sale's target says then.
create table referral_private.postings (
  org_id uuid not null,
  account text not null,
  livemode boolean not null,
  sale_id text not null,
  owner_id uuid not null,
  kind referral.account_kind not null,
  currency text not null,
  amount bigint not null,
  entries int not null,
  -- When what is pending becomes available, as the facts stand.
  due_at timestamptz,
  constraint postings_pkey primary key (org_id, sale_id, owner_id, kind, currency, account, livemode),
  constraint postings_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict,
  constraint postings_are_exact_in_javascript check (amount between 0 and 9007199254740991)
);

create index postings_due on referral_private.postings (due_at) where kind = 'pending' and amount > 0;

create index postings_by_sale on referral_private.postings (sale_id, account, livemode);

alter table referral_private.ledger_accounts enable row level security;

alter table referral_private.ledger_entries enable row level security;

alter table referral_private.postings enable row level security;

-- Refuses every change of what is written once, to the owner too, and in replica mode.
create function referral_private.refuse_change()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end
$$;

revoke execute on function referral_private.refuse_change from public;

create trigger ledger_entries_are_append_only
before update or delete or truncate on referral_private.ledger_entries
for each statement
execute function referral_private.refuse_change();

alter table referral_private.ledger_entries enable always trigger ledger_entries_are_append_only;

-- The account of an owner, or, without one, the organisation's expense; made when it is first needed.
create function referral_private.ledger_account(
  p_org_id uuid,
  p_livemode boolean,
  p_owner_id uuid,
  p_kind referral.account_kind,
  p_currency text
)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_account_id bigint;
begin
  select a.account_id into v_account_id
  from referral_private.ledger_accounts as a
  where a.org_id = p_org_id and a.livemode = p_livemode and a.kind = p_kind and a.currency = p_currency
    and coalesce(a.owner_id, '00000000-0000-0000-0000-000000000000')
      = coalesce(p_owner_id, '00000000-0000-0000-0000-000000000000');
  if v_account_id is null then
    insert into referral_private.ledger_accounts (org_id, livemode, owner_id, kind, currency)
    values (p_org_id, p_livemode, p_owner_id, p_kind, p_currency)
    returning account_id into v_account_id;
  end if;
  return v_account_id;
end
$$;

revoke execute on function referral_private.ledger_account from public;

-- Changes what is posted of a sale to an owner's account, and when what is pending will be due. Answers the number of its
-- changes.
create function referral_private.change_posting(p_posting referral_private.postings, p_change bigint)
returns int
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if p_posting.kind <> 'pending' then
    p_posting.due_at := null;
  end if;
  update referral_private.postings as p
  set amount = p.amount + p_change, entries = p.entries + 1, due_at = p_posting.due_at
  where p.org_id = p_posting.org_id and p.account = p_posting.account and p.livemode = p_posting.livemode
    and p.sale_id = p_posting.sale_id and p.owner_id = p_posting.owner_id and p.kind = p_posting.kind
    and p.currency = p_posting.currency
  returning p.entries into p_posting.entries;
  if not found then
    p_posting.amount := p_change;
    p_posting.entries := 1;
    insert into referral_private.postings select p_posting.*;
  end if;
  return p_posting.entries;
end
$$;

revoke execute on function referral_private.change_posting from public;

-- Posts what a sale's target for one owner differs by from what is posted: between two of the owner's accounts what moves
-- between them, and the rest against the expense. The account lock is held.
create function referral_private.post(
  p_posting referral_private.postings,
  p_change bigint,
  p_counter_kind referral.account_kind,
  p_cause text
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_own bigint := referral_private.ledger_account(
    p_posting.org_id, p_posting.livemode, p_posting.owner_id, p_posting.kind, p_posting.currency
  );
  v_counter bigint := referral_private.ledger_account(
    p_posting.org_id, p_posting.livemode, case when p_counter_kind <> 'expense' then p_posting.owner_id end, p_counter_kind,
    p_posting.currency
  );
  v_number int;
begin
  v_number := referral_private.change_posting(p_posting, p_change);
  if p_counter_kind <> 'expense' then
    p_posting.kind := p_counter_kind;
    perform referral_private.change_posting(p_posting, -p_change);
  end if;

  insert into referral_private.ledger_entries (
    org_id, debit_account_id, credit_account_id, amount, currency, reason_key, account, livemode, sale_id, caused_by
  )
  values (
    p_posting.org_id,
    case when p_change > 0 then v_counter else v_own end,
    case when p_change > 0 then v_own else v_counter end,
    abs(p_change), p_posting.currency,
    concat_ws(' ', p_posting.account, p_posting.livemode, p_posting.sale_id, v_own, v_number),
    p_posting.account, p_posting.livemode, p_posting.sale_id, p_cause
  );
  update referral_private.ledger_accounts as a
  set balance = a.balance + case when a.account_id = v_own then p_change else -p_change end
  where a.org_id = p_posting.org_id and a.account_id in (v_own, v_counter) and a.kind <> 'expense';
end
$$;

revoke execute on function referral_private.post from public;
