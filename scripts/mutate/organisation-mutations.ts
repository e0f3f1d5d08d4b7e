import type { TextMutation } from './mutation.ts'

/** Whose sale it is. */
export const organisationMutations: TextMutation[] = [
  {
    name: 'organisation: what metadata names',
    in: 'name_sales',
    replace: 'coalesce(s.org_id, c.org_id)',
    by: 'c.org_id',
  },
  {
    name: 'organisation: what codes name',
    in: 'name_sales',
    replace: 'coalesce(s.org_id, c.org_id)',
    by: 's.org_id',
  },
  {
    name: 'organisation: a payment link names none',
    in: 'name_sales',
    replace: "n.kind <> 'payment_link' and",
    by: '',
  },
  {
    name: 'organisation: a code made later names none',
    in: 'name_sales',
    replace: "and date_trunc('second', n.made_at) - interval '1 minute' <= n.carried_at",
    by: '',
  },
  {
    name: 'organisation: a subscription’s first',
    in: 'name_sales',
    replace: 'coalesce(n.named_org_id, f.named_org_id)',
    by: 'n.named_org_id',
  },
  {
    name: 'organisation: the subscription’s metadata',
    in: 'organisation_named',
    replace: '(p_sale.best).subscription_org_id\n',
    by: 'null\n',
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
    in: 'winners_of',
    replace: 'v_is_undisputed or d.org_id = c.org_id or',
    by: 'true or',
  },
  {
    name: 'organisation: of evidence of two, nobody',
    in: 'destinations',
    replace: 'and coalesce(g.bound, g.late) <> coalesce(g.last_bound, g.last_late)',
    by: 'and false',
  },
  {
    name: 'organisation: where the subscription went',
    in: 'destinations',
    replace: 'coalesce(g.named, f.org_id, g.org_id',
    by: 'coalesce(g.named, g.org_id',
    all: true,
  },
  {
    name: 'organisation: a payment link among several',
    in: 'destinations',
    replace: "and not (c.kind = 'payment_link' and c.at >= p_shared_since)",
    by: '',
  },
  {
    name: 'organisation: an earlier sale of the subscription follows no later one',
    in: 'name_sales',
    replace: 'and (f.paid_at, f.sale_id) <= (n.paid_at, n.sale_id)',
    by: '',
  },
  {
    name: 'organisation: nor goes where a later one went',
    in: 'destinations',
    replace: 'and f.m <= g.m',
    by: '',
  },
  {
    name: 'organisation: an account is shared from when its second joined',
    in: 'shared_since',
    replace: 'select o.stripe_account_since',
    by: 'select o.created_at',
    tests: ['tests/sql/other-names'],
  },
  {
    name: 'organisation: purchases ahead when an account becomes shared',
    in: 'create_organisation',
    replace:
      "perform referral_private.settle_payment_links('', v_organisation.stripe_account_since);",
    by: '',
    tests: ['tests/sql/other-names'],
  },
  {
    name: 'organisation: nor is it as good as evidence in time',
    in: 'destinations',
    replace: 'case when p.bound = p.last_bound then p.bound::uuid end) as org_id',
    by: 'case when coalesce(p.bound, p.late) = coalesce(p.last_bound, p.last_late) then coalesce(p.bound, p.late)::uuid end) as org_id',
  },
  {
    name: 'organisation: of two versions of a session the least',
    in: 'state_belongings',
    replace: 'org_id = least(s.org_id, excluded.org_id)',
    by: 'org_id = coalesce(s.org_id, excluded.org_id)',
  },
]
