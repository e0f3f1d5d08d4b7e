import type { TextMutation } from './mutation.ts'

/** Whose sale it is. */
export const organisationMutations: TextMutation[] = [
  {
    name: 'organisation: what metadata names',
    in: 'sales_named',
    replace: 'coalesce(s.org_id, c.org_id)',
    by: 'c.org_id',
  },
  {
    name: 'organisation: what codes name',
    in: 'sales_named',
    replace: 'coalesce(s.org_id, c.org_id)',
    by: 's.org_id',
  },
  {
    name: 'organisation: a payment link names none',
    in: 'sales_named',
    replace: "n.kind <> 'payment_link' and",
    by: '',
  },
  {
    name: 'organisation: a code made later names none',
    in: 'sales_named',
    replace: "and date_trunc('second', n.made_at) - interval '1 minute' <= n.carried_at",
    by: '',
  },
  {
    name: 'organisation: a subscription’s first',
    in: 'sales_named',
    replace: 'case when (n.sale).subscription_id is not null then',
    by: 'case when false then',
  },
  {
    name: 'organisation: the subscription’s metadata',
    in: 'organisation_named',
    replace: '(p_sale.best).subscription_org_id,',
    by: '',
  },
  {
    name: 'organisation: a session’s metadata',
    in: 'organisation_named',
    replace: 'and s.session_id = any (p_sale.session_ids) and s.org_id is not null',
    by: 'and false',
  },
  {
    name: 'organisation: an intent’s metadata',
    in: 'organisation_named',
    replace: "and p.source = 'intent' and p.org_id is not null",
    by: 'and false',
  },
  {
    name: 'organisation: only its own evidence wins',
    in: 'won_sales',
    replace: 'where d.org_id = (c.evidence).org_id or',
    by: 'where true or',
  },
  {
    name: 'organisation: of evidence of two, nobody',
    in: 'destinations',
    replace: 'p.named is null and cardinality(coalesce(p.bound, p.late)) > 1 as is_unknown',
    by: 'false as is_unknown',
  },
  {
    name: 'organisation: where the subscription went',
    in: 'destinations',
    replace: 'case when (g.sale).subscription_id is not null then (',
    by: 'case when false then (',
  },
  {
    name: 'organisation: a payment link among several',
    in: 'destinations',
    replace: "and not ((c.evidence).kind = 'payment_link' and (c.evidence).at >= p_shared_since)",
    by: '',
  },
]
