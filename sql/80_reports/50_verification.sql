-- The whole ledger is compared with itself and with the facts, slice by slice: accounts first, then sales.
create function referral_private.verify_ledger(p_after jsonb default null, p_page_size int default 100)
returns referral.ledger_slice
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_max_rows int := referral_private.page_size(p_page_size);
  v_account referral_private.ledger_accounts;
  v_sale referral_private.sale_key;
  v_slice referral.ledger_slice;
begin
  begin
    v_account := jsonb_populate_record(null::referral_private.ledger_accounts, p_after);
    v_sale := jsonb_populate_record(null::referral_private.sale_key, p_after);
  exception
    when data_exception then
      perform referral_private.raise_error('invalid_argument', 'after: next of the slice before');
  end;
  if num_nulls(v_sale.sale_id, v_sale.stripe_account, v_sale.livemode) = 0 then
    return referral_private.verify_sales(v_sale, v_max_rows);
  end if;
  if p_after is not null and num_nulls(v_account.org_id, v_account.account_id) > 0 then
    perform referral_private.raise_error('invalid_argument', 'after: next of the slice before');
  end if;
  v_slice := referral_private.verify_accounts(v_account, v_max_rows);
  if p_after is null then
    v_slice.faults := array(select f from referral_private.trigger_faults() as f) || v_slice.faults;
  end if;
  -- Sales come after the accounts.
  v_slice.next := coalesce(v_slice.next, jsonb_build_object('sale_id', '', 'stripe_account', '', 'livemode', false));
  return v_slice;
end
$$;

comment on function referral_private.verify_ledger is
  'public: Compares a slice of the ledger with itself and with the facts, and returns how many accounts and sales it
looked at, what is wrong, and next, from which the next slice begins; next is null after the last one. Kinds of faults:
trigger (a table whose rows are written once has lost its trigger), balance (a stored balance is not the sum of its
entries), entries (what is posted of a sale is not the sum of its entries), target (it is not what the facts say), due
(nor is the time at which it becomes available). What waits to be settled has no fault of the last two kinds.
Example: docs/reliability.md.

group: Run jobs
after: next of the slice before; none for the first slice
page_size: accounts or sales in a slice, 1 to 1,000
callers: the operator
errors: invalid_argument
timeout: 60s';

grant execute on function referral_private.verify_ledger to service_role;
