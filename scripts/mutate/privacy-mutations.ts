import type { TextMutation } from './mutation.ts'

const days = ['tests/sql/day-keys']
const texts = ['tests/sql/one-line-texts']

/** What people may write, and what they learn of others. */
export const privacyMutations: TextMutation[] = [
  {
    name: 'privacy: a text without marks of the direction',
    in: 'is_one_line',
    replace: '\\\\u200E\\\\u200F',
    by: '',
    tests: texts,
  },
  {
    name: 'privacy: descriptions of imported codes',
    in: 'faults_of_row',
    replace: "or not referral_private.is_one_line(p_row ->> 'description')",
    by: '',
    tests: texts,
  },
  {
    name: 'privacy: an address under the key of the day',
    in: 'address_bucket',
    replace: "referral_private.hash_of_day(p_day, p_org_id || ' ' || v_network)",
    by: "sha256(convert_to(p_org_id || ' ' || v_network, 'UTF8'))",
    tests: days,
  },
  {
    name: 'privacy: an address of one organisation',
    in: 'address_bucket',
    replace: "p_org_id || ' ' ||",
    by: "'' ||",
    tests: days,
  },
  {
    name: 'privacy: keys of past days go with the counts',
    in: 'purge_rate_limits',
    replace: 'perform referral_private.forget_keys_before(',
    by: 'perform (',
    tests: days,
  },
]
