import type { TextMutation } from './mutation.ts'

const asAdmin = "perform referral_private.require_role(p_org_id, 'admin');\n"
const asCoordinator = "perform referral_private.require_role(p_org_id, 'coordinator');\n"
const roles = ['tests/concurrency/roles']
const isolation = ['tests/concurrency/isolation']

/** A right that is asked for again once the lock is there. */
const again = (rpc: string, replace: string, by: string): TextMutation => ({
  name: `roles: ${rpc} asks again`,
  in: rpc,
  replace,
  by,
  tests: roles,
})

/** Who lost a role while they waited for a lock does nothing more with it. */
export const roleMutations: TextMutation[] = [
  again(
    'update_program',
    "perform referral_private.require_role(v_program.org_id, 'admin');\n  select",
    'select',
  ),
  again('update_organisation', `${asAdmin}  v_new`, 'v_new'),
  again('create_program', `${asAdmin}\n  insert`, 'insert'),
  again(
    'add_member',
    'perform referral_private.require_may_add(p_org_id, p_role);\n\n  select',
    'select',
  ),
  again('set_member_role', `${asAdmin}  if`, 'if'),
  again(
    'set_my_name',
    "perform referral_private.require_role(p_org_id, 'member');\n  perform referral_private.require_name",
    'perform referral_private.require_name',
  ),
  again(
    'lock_member_to_manage',
    'perform referral_private.require_role_over(p_org_id, array[p_user_id]);',
    '',
  ),
  again('ready_to_choose', `(p_org_id);\n  ${asCoordinator}  if`, '(p_org_id);\n  if'),
  again(
    'create_code',
    `${asCoordinator}  end if;\n  v_code.program_id`,
    'end if;\n  v_code.program_id',
  ),
  again('rotate_code', asCoordinator, ''),
  again(
    'create_campaign_code',
    `${asCoordinator}    perform referral_private.require_code_allowance`,
    'perform referral_private.require_code_allowance',
  ),
  again(
    'lock_code_for_staff',
    "if not referral_private.acts_with_role(v_code.org_id, 'coordinator') then\n    perform referral_private.raise_error('code_not_found');\n  end if;\n  return",
    'return',
  ),
  {
    name: 'roles: of an admin, to manage staff',
    in: 'require_role_over',
    replace: "then 'admin'",
    by: "then 'coordinator'",
    tests: ['tests/sql/members'],
  },
]

/** Settlements at READ COMMITTED alone. */
export const isolationMutations: TextMutation[] = [
  ...[
    'lock_stripe_account',
    'share_stripe_account_of',
    'recognise_user',
    'recognise_users',
    'release_due_commissions',
  ].map((taken) => ({
    name: `isolation: ${taken}`,
    in: taken,
    replace: 'perform referral_private.require_read_committed();',
    by: '',
    tests: isolation,
  })),
  ...['repeatable read', 'serializable'].map((level) => ({
    name: `isolation: ${level}`,
    in: 'require_read_committed',
    replace: "<> 'read committed'",
    by: `not in ('read committed', '${level}')`,
    tests: isolation,
  })),
  {
    name: 'isolation: staff who suspend share the account',
    in: 'lock_code_for_staff',
    replace: 'referral_private.share_stripe_account_of(v_code.org_id)',
    by: 'v_code.org_id',
    tests: ['tests/concurrency/codes', 'tests/concurrency/locks'],
  },
  ...['lock', 'share'].map((mode) => ({
    name: `isolation: an account that changed meanwhile, to ${mode}`,
    in: `${mode}_stripe_account_of`,
    replace: "perform referral_private.raise_error('busy');",
    by: '',
    tests: ['tests/concurrency/locks'],
  })),
]
