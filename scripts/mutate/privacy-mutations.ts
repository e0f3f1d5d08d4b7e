import type { TextMutation } from './mutation.ts'

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
]
