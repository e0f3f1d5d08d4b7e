/** What keeps the money of organisations and of modes apart where it is read. */
import type { TextMutation } from './mutation.ts'

export const moneyRowMutations: TextMutation[] = [
  {
    name: 'money rows: the organisation of what is explained',
    in: 'explain_commission',
    replace: 'and (t.evidence).org_id = p_org_id',
    by: '',
  },
  {
    name: 'money rows: the organisation of balances',
    in: 'balances_of',
    replace: 'a.org_id = p_org_id and a.livemode',
    by: 'a.livemode',
  },
  {
    name: 'money rows: the mode of balances',
    in: 'balances_of',
    replace: 'and a.livemode = referral_private.mode_of(p_org_id)',
    by: '',
  },
  {
    name: 'money rows: the organisation of the mode',
    in: 'mode_of',
    replace: 'a.org_id = p_org_id and a.livemode',
    by: 'a.livemode',
  },
  {
    name: 'money rows: the mode of a statement',
    in: 'my_statement',
    replace: 'and a.livemode = referral_private.mode_of(p_org_id)',
    by: '',
  },
]
