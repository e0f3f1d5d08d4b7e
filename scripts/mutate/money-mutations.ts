import type { TextMutation } from './mutation.ts'

/** Promises about sales, winners and the ledger. */
export const moneyMutations: TextMutation[] = [
  {
    name: 'sales: a bare intent',
    in: 'project_sales',
    replace: "and (p.names_referral or p.source <> 'intent')",
    by: '',
  },
  {
    name: 'sales: refunds that failed',
    in: 'reversed_of_payment',
    replace: 'and r.status_rank < 2',
    by: '',
  },
  {
    name: 'sales: the rank of a refund',
    in: 'state_refund',
    replace: 'order by g.status_rank desc, g.stated_at desc',
    by: 'order by g.stated_at desc',
  },
  {
    name: 'sales: void credit notes',
    in: 'reversed_of_invoice',
    replace: 'and not n.void',
    by: '',
  },
  {
    name: 'sales: a split by what was paid',
    in: 'split_by_weight',
    replace: 'case when s.place <= p_amount - s.shares then 1 else 0 end',
    by: '0',
  },
  {
    name: 'winner: the account',
    in: 'evidence_by_redemption',
    replace: 'where referral_private.stripe_account_of(r.org_id) = p_stripe_account',
    by: '',
    tests: ['tests/sql/settling'],
  },
  {
    name: 'winner: a program that was off',
    in: 'terms_at',
    replace: 'return null;',
    by: '',
  },
  {
    name: 'ledger: the difference to what is posted',
    in: 'differences',
    replace: 'p.kind, p.amount,',
    by: "p.kind, case when p.kind = 'available' then 0 else p.amount end as amount,",
  },
  {
    name: 'sales: an invoiced intent',
    in: 'payments_together',
    replace: "where not ((s.best).source in ('intent', 'session') and exists (",
    by: 'where not (false and exists (',
  },
  {
    name: 'sales: what a dispute gave back',
    in: 'kept_by_dispute',
    replace: 'greatest(0, -sum(t.amount))',
    by: 'max(-t.amount)',
  },
  {
    name: 'sales: another settlement currency',
    in: 'kept_by_dispute',
    replace: 'case when p_dispute.currency = p_currency then p_dispute.amount else p_paid end',
    by: 'p_dispute.amount',
  },
  {
    name: 'sales: no more than was paid',
    in: 'sales_stated',
    replace: 'least((t.best).paid, case',
    by: 'greatest(0, case',
  },
  {
    name: 'ledger: the stored balance',
    in: 'post_movements',
    replace: 'select w.debit_account_id, -w.amount',
    by: 'select w.debit_account_id, w.amount',
  },
]
