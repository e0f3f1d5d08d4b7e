import type { TextMutation } from './mutation.ts'

const tests = [
  'tests/sql/programs',
  'tests/sql/terms-bounds',
  'tests/sql/messages',
  'tests/concurrency/roles',
]

const bound = (name: string, target: string, replace: string, by: string): TextMutation => ({
  name: `terms: ${name}`,
  in: target,
  replace,
  by,
  tests,
})

/** How much terms may say, and how often; it is checked before the lock for which purchases wait. */
export const termsMutations: TextMutation[] = [
  bound('a hundred tiers', 'is_tiers', '<= 100', '<= 99'),
  bound('no more tiers', 'is_tiers', '<= 100', '<= 101'),
  bound('tiers from the first rank', 'is_tiers', "p_value -> 0 -> 'from' = '1'", 'true'),
  bound('tiers that rise', 'is_tiers', "or tier -> 'from' <= previous", ''),
  bound(
    'the right form of a wrong one',
    'require_terms',
    'referral_private.form_of_term(key)',
    'null',
  ),
  bound('16 KiB', 'require_terms', '> 16384', '> 16383'),
  bound('no longer', 'require_terms', '> 16384', '> 16385'),
  bound('bytes, not characters', 'require_terms', 'octet_length', 'length'),
  bound(
    'versions that end once',
    'guard_terms',
    'coalesce(old.valid_to, new.valid_to)',
    'new.valid_to',
  ),
  bound('fifty versions', 'require_terms_allowance', '>= 50', '>= 49'),
  bound('no more versions', 'require_terms_allowance', '>= 50', '>= 51'),
  bound('versions of a day', 'require_terms_allowance', "'24 hours'", "'25 hours'"),
  bound('versions of a whole day', 'require_terms_allowance', "'24 hours'", "'23 hours'"),
  bound(
    'versions of the program',
    'require_terms_allowance',
    'and t.program_id = p_program.id',
    '',
  ),
  bound(
    'wrong ones before the lock',
    'update_program',
    "perform referral_private.require_terms(p_changes -> 'terms', true);",
    '',
  ),
  bound(
    'too many before the lock',
    'update_program',
    'perform referral_private.require_terms_allowance(v_program);',
    '',
  ),
  bound(
    'too many under the lock',
    'replace_terms',
    'perform referral_private.require_terms_allowance(p_program);',
    '',
  ),
  bound(
    'the same again are no version',
    'replace_terms',
    'if v_terms = v_old.terms then',
    'if false then',
  ),
  bound('a key set to null', 'changed_terms', "where value <> 'null'", ''),
  bound(
    'a key that is unknown',
    'require_terms',
    'is_term(key, value) is not true',
    'is_term(key, value) is false',
  ),
]
