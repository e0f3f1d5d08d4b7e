/**
 * To people outside it, an organisation that does not take them is like one that there is not: every RPC answers the same
 * about its ids and about ids that nobody has, in code, status, message and details, and waits for no lock of it.
 */
import { describe, expect, test } from 'vitest'
import { operator, refusal } from '../support/actors.ts'
import { answerOf, calls } from '../support/calls.ts'
import { testDatabase, undone } from '../support/database.ts'
import { scene } from '../support/scene.ts'
import { sessions } from '../support/sessions.ts'
import { shown } from '../support/shown.ts'
import { actors, type Caller, stage } from '../support/stage.ts'
import { type Args, rpcsOfPeople, variantsOf } from '../support/variants.ts'

const sql = await testDatabase()
const staged = await stage(sql)
for (const { admin, program } of [staged, staged.there]) {
  const changes = { terms: { enrolment: 'invited' } }
  await admin.rpc('update_program', { program_id: program, changes })
}
/** The same arguments, about what there is not. */
const unreal = (args: Args): Args =>
  JSON.parse(
    JSON.stringify(args).replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (id) =>
      id === staged.there.codeId ? id : crypto.randomUUID(),
    ),
  )

const rpcs = await rpcsOfPeople(sql)

const outsiders = ['anon', 'guest', 'stranger', 'elsewhere'] satisfies Caller[]

/** What outsiders are answered in an organisation that takes invited members only, where it is not what the matrix says. */
const ofInvited: Record<string, Partial<Record<Caller, string>>> = {
  get_or_create_code: { stranger: 'not_invited', elsewhere: 'not_invited' },
}

describe.for(rpcs)('%s', (rpc) => {
  test('says the same of an organisation and of none, also while its rows are locked', () =>
    sessions(sql, async (holder) => {
      await holder.tx`
        select pg_advisory_xact_lock(referral_private.stripe_account_lock_key(''))`
      for (const table of ['organisations', 'members', 'codes', 'redemptions'])
        await holder.tx`select from referral.${holder.tx(table)} for update`
      const variants = await variantsOf(sql, staged, rpc)
      await undone(sql, async (tx) => {
        for (const args of variants)
          for (const caller of outsiders) {
            const actor = actors(tx, staged)[caller]
            expect(await shown(actor, rpc, args), `${caller} ${JSON.stringify(args)}`).toBe(
              await shown(actor, rpc, unreal(args)),
            )
          }
      })
    }))

  test.for(outsiders)('answers %s as the table says', (caller) =>
    undone(sql, async (tx) => {
      const { args, answers } = calls[rpc] as (typeof calls)[string]
      const seen = await answerOf(actors(tx, staged)[caller].rpc(rpc, args(staged)))
      expect(seen).toBe(ofInvited[rpc]?.[caller] ?? answers[caller])
    }),
  )
})

describe('get_or_create_code', () => {
  /** Where nobody can enrol: what to call with. */
  const closed: [string, (place: Awaited<ReturnType<typeof scene>>) => Promise<Args>][] = [
    [
      'enrolment is by invitation',
      async ({ org, admin, program }) => {
        const changes = { terms: { enrolment: 'invited' } }
        await admin.rpc('update_program', { program_id: program, changes })
        return { org_id: org }
      },
    ],
    [
      'the program is switched off',
      async ({ org, admin, program }) => {
        await admin.rpc('update_program', { program_id: program, changes: { active: false } })
        return { org_id: org }
      },
    ],
    [
      'the organisation is switched off',
      async ({ org, admin }) => {
        await admin.rpc('update_organisation', { org_id: org, changes: { active: false } })
        return { org_id: org }
      },
    ],
    [
      'the program is another organisation’s',
      async ({ org }) => ({
        org_id: org,
        program_id: staged.program,
      }),
    ],
    [
      'there is no such program',
      async ({ org }) => ({
        org_id: org,
        program_id: crypto.randomUUID(),
      }),
    ],
  ]

  test.for(closed)('tells a stranger nothing where %s', ([, prepare]) =>
    undone(sql, async (tx) => {
      const args = await prepare(await scene(tx))
      const { stranger } = actors(tx, staged)
      const none = await shown(stranger, 'get_or_create_code', { org_id: crypto.randomUUID() })
      expect(await shown(stranger, 'get_or_create_code', args)).toBe(none)
      expect(none).toContain('"not_invited"')
    }),
  )

  test('tells a member who enrolled by themself nothing of programs by invitation', () =>
    undone(sql, async (tx) => {
      const { org, admin, friend } = await scene(tx)
      await friend.rpc('get_or_create_code', { org_id: org })
      await friend.rpc('deactivate_code', { org_id: org })
      const program = { org_id: org, key: 'closed', name: 'Closed' }
      const [invited] = await admin.rpc('create_program', program)
      for (const rpc of ['get_or_create_code', 'create_code']) {
        const of = (program_id: unknown) => shown(friend, rpc, { org_id: org, program_id })
        expect(await of(invited?.id)).toBe(await of(crypto.randomUUID()))
        expect(await of(invited?.id)).toContain('"not_invited"')
      }
    }))

  test('says program_inactive to a member, and program_not_found to one whom staff added', () =>
    undone(sql, async (tx) => {
      const { org, admin, program, friend, mentor } = await scene(tx)
      await friend.rpc('get_or_create_code', { org_id: org })
      await friend.rpc('deactivate_code', { org_id: org })
      await admin.rpc('update_program', { program_id: program, changes: { active: false } })
      for (const member of [friend, mentor])
        expect(await refusal(member.rpc('get_or_create_code', { org_id: org }))).toBe(
          'program_inactive',
        )
      const none = { org_id: org, program_id: crypto.randomUUID() }
      expect(await refusal(mentor.rpc('get_or_create_code', none))).toBe('program_not_found')
    }))
})

const operators = await sql`
  select proname as name from pg_proc
  where pronamespace = 'referral'::regnamespace and has_function_privilege('service_role', oid, 'execute')
    and 'org_id' = any (proargnames)
  order by proname`

test.for(operators.map(({ name }) => String(name)))(
  '%s tells the operator that there is no such organisation',
  (rpc) =>
    undone(sql, async (tx) => {
      const args = { ...calls[rpc]?.args(staged), org_id: crypto.randomUUID() }
      expect(await refusal(operator(tx).rpc(rpc, args))).toBe('organisation_not_found')
    }),
)
