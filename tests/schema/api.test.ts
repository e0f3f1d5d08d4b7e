/** The public contract is generated from the private functions, and refused where it would be ambiguous. */
import { expect, test } from 'vitest'
import { readFaces } from '../../scripts/api/faces.ts'
import { referenceOf } from '../../scripts/api/reference.ts'
import { testDatabase, undone } from '../support/database.ts'

const sql = await testDatabase()

/** A private function that could be public, with parts of its text replaced. */
function made(change: { head?: string; settings?: string; comment?: string; grant?: string }) {
  const {
    head = 'made(p_org_id uuid) returns int',
    settings = 'stable security definer',
    comment = 'public: Counts.\n\ngroup: Run jobs\norg_id: the organisation\ncallers: the operator\nerrors: none\ntimeout: 5s',
    grant = 'grant execute on function referral_private.made to service_role;',
  } = change
  return `
    create function referral_private.${head} language plpgsql ${settings} as $$ begin end $$;
    comment on function referral_private.made is '${comment.replaceAll("'", "''")}';
    ${grant}`
}

const commentWithout = (line: string) =>
  'public: Counts.\n\ngroup: Run jobs\norg_id: the organisation\ncallers: the operator\nerrors: none\ntimeout: 5s'
    .split('\n')
    .filter((one) => !one.startsWith(line))
    .join('\n')

test.for([
  [{ settings: 'stable' }, 'it is not security definer'],
  [{ head: 'made(org_id uuid) returns int' }, 'the argument org_id does not begin with p_'],
  [{ head: 'made(p_org_id uuid) returns table (n int)' }, 'it has output arguments'],
  [{ head: 'made(p_org_id uuid) returns record' }, 'it returns record'],
  [{ head: 'made(p_org_id uuid, p_more int) returns int' }, 'its comment does not describe more'],
  [{ head: 'made() returns int' }, 'its comment describes org_id, which it does not take'],
  [{ grant: '' }, 'no role may execute it'],
  [{ comment: commentWithout('group') }, 'its comment states no group'],
  [{ comment: commentWithout('callers') }, 'its comment states no callers'],
  [{ comment: commentWithout('errors') }, 'its comment states no errors'],
  [{ comment: commentWithout('timeout') }, 'its comment states no timeout'],
  [{ comment: `${commentWithout('x')}\ntimeout: 6s` }, 'its comment states timeout twice'],
  [{ comment: `${commentWithout('x')}\nand so on` }, 'its comment has the line "and so on"'],
] as const)('%o is refused: %s', ([change, reason]) =>
  undone(sql, async (tx) => {
    await tx.unsafe(made(change))
    await expect(readFaces(tx)).rejects.toThrow(
      `referral_private.made cannot be made public: ${reason}`,
    )
  }),
)

test('an overloaded function is refused', () =>
  undone(sql, async (tx) => {
    await tx.unsafe(made({}))
    await tx.unsafe(`
      create function referral_private.made(p_name text) returns int language plpgsql as $$ begin end $$`)
    await expect(readFaces(tx)).rejects.toThrow(
      'referral_private.made cannot be made public: it is overloaded',
    )
  }))

test('a function that is stated in full becomes a public function with its defaults, roles and result', () =>
  undone(sql, async (tx) => {
    await tx.unsafe(made({ head: 'made(p_org_id uuid default null) returns setof referral.codes' }))
    const face = (await readFaces(tx)).find(({ name }) => name === 'made')
    expect(face).toEqual({
      name: 'made',
      summary: 'Counts.',
      group: 'Run jobs',
      arguments: [{ name: 'org_id', type: 'uuid', default: 'NULL', text: 'the organisation' }],
      callers: 'the operator',
      errors: [],
      timeout: '5s',
      returned: null,
      returns: 'referral.codes',
      isSet: true,
      isSingle: false,
      isComposite: true,
      volatility: 'stable',
      roles: ['service_role'],
    })
  }))

test('an unknown group is refused, with the list of groups', () =>
  undone(sql, async (tx) => {
    await tx.unsafe(made({ comment: commentWithout('group').concat('\ngroup: Run errands') }))
    const faces = await readFaces(tx)
    const rest = { methods: new Map(), sources: new Map(), rowTypes: [], enums: [] }
    expect(() => referenceOf({ faces, ...rest })).toThrow(
      /^made is in the group "Run errands"\. The groups are: Have a code, .*Run jobs\.$/,
    )
  }))

test('no function has output arguments: a named type can gain a column under an adopter’s view', async () => {
  const rows = await sql`
    select p.oid::regprocedure from pg_proc as p
    where p.pronamespace::regnamespace::text like 'referral%' and p.proargmodes && '{o,b,t}'::"char"[]`
  expect(rows).toEqual([])
})
