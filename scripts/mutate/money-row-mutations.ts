/** What keeps the money of organisations and of modes apart where it is read. */
import type { TextMutation } from './mutation.ts'

export const moneyRowMutations: TextMutation[] = [
  {
    name: 'money rows: the organisation of what is explained',
    in: 'explain_commission',
    replace: 'and t.org_id = p_org_id',
    by: '',
  },
  {
    name: 'money rows: the mode of what is explained',
    in: 'explain_commission',
    replace: 'and (p_livemode is null or s.livemode = p_livemode)',
    by: '',
  },
  {
    name: 'money rows: the organisation of balances',
    in: 'my_earnings',
    replace: 'a.org_id = p_org_id and a.earner_id = v_earner_id',
    by: 'a.earner_id = v_earner_id',
  },
  {
    name: 'money rows: the mode of balances',
    in: 'my_earnings',
    replace: 'and (p_livemode is null or a.livemode = p_livemode)',
    by: '',
  },
  {
    name: 'money rows: the page of balances',
    in: 'org_liabilities',
    replace:
      '(l.earner_id, l.currency, l.livemode) > (v_after.earner_id, v_after.currency, v_after.livemode)',
    by: 'l.earner_id > v_after.earner_id',
    tests: ['tests/sql/pages', 'tests/sql/ledger'],
  },
  {
    name: 'money rows: the mode of a statement',
    in: 'my_statement',
    replace: 'and (p_livemode is null or a.livemode = p_livemode)',
    by: '',
  },
  {
    name: 'money rows: coordinators read no money of others',
    in: 'earner_to_read',
    replace: "perform referral_private.require_role(p_org_id, 'admin');",
    by: '',
  },
  {
    name: 'money rows: coordinators read no liabilities',
    in: 'org_liabilities',
    replace: "'admin'",
    by: "'coordinator'",
    tests: ['tests/security'],
  },
  {
    name: 'money rows: coordinators are explained no sale of others',
    in: 'explain_commission',
    replace: "acts_with_role(p_org_id, 'admin')",
    by: "acts_with_role(p_org_id, 'coordinator')",
  },
  {
    name: 'money rows: members read no liabilities',
    in: 'org_liabilities',
    replace: "'admin'",
    by: "'member'",
    tests: ['tests/security'],
  },
  {
    name: 'money rows: the earner of a statement',
    in: 'my_statement',
    replace: 'a.org_id = p_org_id and a.earner_id = v_earner_id',
    by: 'a.org_id = p_org_id',
  },
  {
    name: 'money rows: a balance per mode',
    in: 'entries_of',
    replace: 'where a.livemode = p_livemode',
    by: '',
  },
  {
    name: 'money rows: the place in a statement',
    in: 'my_statement',
    replace: 'and e.entry_id = p_after',
    by: 'and e.entry_id >= p_after',
  },
]
