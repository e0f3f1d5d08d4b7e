import type { TextMutation } from './mutation.ts'

const stored = ['tests/sql/stored-purchases']
const others = ['tests/sql/sales-of-others']

/** What commands see of purchases that are stored, and what one payer's object says of another payer's sale. */
export const storedMutations: TextMutation[] = [
  ...['forfeit_from', 'reject_referral'].map((name) => ({
    name: `stored purchases: ${name}`,
    in: name,
    replace: 'referral_private.lock_drained_account_of(',
    by: 'referral_private.lock_stripe_account_of(',
    tests: stored,
  })),
  {
    name: 'stored purchases: a change of the Stripe account',
    in: 'change_stripe_account',
    replace: 'perform referral_private.drain_events(v_old);',
    by: '',
    tests: stored,
  },
  {
    name: 'stored purchases: a chosen text',
    in: 'ready_to_choose',
    replace: 'if referral_private.may_be_carried(',
    by: 'if false and referral_private.may_be_carried(',
    tests: stored,
  },
  {
    name: 'stored purchases: hyphens and small letters of a text',
    in: 'letters_of',
    replace: "'[^0-9A-Z]+', '', 'g'",
    by: "'[^-0-9A-Z]+', '', 'g'",
    tests: stored,
  },
  {
    name: 'sales of others: the invoice that an intent pays',
    in: 'payments_of_others',
    replace: 'where l.payment_key = s.intent_id and',
    by: 'where false and',
    tests: others,
  },
  {
    name: 'sales of others: settled with the evidence',
    in: 'settle_evidence',
    replace: 'and s.sale_id = any (v_of_others)',
    by: 'and false',
    tests: others,
  },
  {
    name: 'sales of others: a redemption of an organisation that leaves',
    in: 'settle_organisation',
    replace: "and e.kind = 'redemption_id'",
    by: 'and false',
    tests: others,
  },
]
