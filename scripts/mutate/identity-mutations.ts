import type { TextMutation } from './mutation.ts'

/** Who may do what. */
export const identityMutations: TextMutation[] = [
  {
    name: 'identity: anonymous sign-ins',
    in: 'require_person',
    replace: "perform referral_private.raise_error('anonymous_user');",
    by: '',
  },
  {
    name: 'identity: nobody signed in',
    in: 'require_person',
    replace: "perform referral_private.raise_error('not_signed_in');",
    by: '',
    tests: ['tests/security/nobody'],
  },
  {
    name: 'identity: the operator by absence',
    in: 'is_operator',
    replace: "return v_role = 'service_role'",
    by: "return auth.uid() is null or v_role = 'service_role'",
    tests: ['tests/security/rows', 'tests/security/calls'],
  },
  {
    name: 'identity: a referrer in the arguments',
    in: 'acting_for',
    replace: "perform referral_private.require_role(p_org_id, 'coordinator');",
    by: '',
  },
  {
    name: 'identity: roles of the deactivated',
    in: 'orgs_with_role',
    replace: 'and m.deactivated_at is null',
    by: '',
  },
  { name: 'identity: roles below', in: 'orgs_with_role', replace: 'and m.role >= p_role', by: '' },
  {
    name: 'staff: a chosen code',
    in: 'create_code',
    replace: 'num_nonnulls(p_code, p_max_uses, p_expires_at) > 0',
    by: 'false',
    all: true,
  },
  { name: 'staff: find_code', in: 'find_code', replace: "'coordinator'", by: "'member'" },
  {
    name: 'staff: codes by id',
    in: 'lock_code_for_staff',
    replace: "'coordinator'",
    by: "'member'",
    all: true,
  },
  {
    name: 'staff: the last admin',
    in: 'require_other_admin',
    replace: "perform referral_private.raise_error('last_admin');",
    by: '',
  },
  {
    name: 'staff: the Stripe account',
    in: 'update_organisation',
    replace: 'p_changes ?| v_of_operator',
    by: "p_changes ? 'link_origin'",
  },
]
