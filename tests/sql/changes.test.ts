/** What staff and the operator change is on record: by whom, and what was before and after. */
import { describe, expect, test } from 'vitest'
import { operator, refusal } from '../support/actors.ts'
import { calls } from '../support/calls.ts'
import { changed, made, recorded, time } from '../support/changes.ts'
import { testDatabase, undone } from '../support/database.ts'
import { recordedCalls, unrecorded } from '../support/recorded-calls.ts'
import { codeOf, scene } from '../support/scene.ts'
import { actors, callers, stage } from '../support/stage.ts'

const sql = await testDatabase()
const staged = await stage(sql)

test('every RPC that changes something is listed: what it puts on record, or why nothing', async () => {
  const rows = await sql`
    select proname as name from pg_proc
    where pronamespace = 'referral'::regnamespace and provolatile = 'v' order by 1`
  expect(rows.map(({ name }) => name)).toEqual(
    [...Object.keys(recordedCalls), ...unrecorded.keys()].sort(),
  )
})

test.for(
  Object.entries(recordedCalls).flatMap(([rpc, call]) =>
    (call.by ?? ['admin', 'operator']).map((caller) => [rpc, caller, call] as const),
  ),
)('%s by the %s', ([rpc, caller, { first, args, changes }]) =>
  undone(sql, async (tx) => {
    await first?.(staged, tx)
    const actor = actors(tx, staged)[caller]
    let rows: Record<string, unknown>[] = []
    const found = await recorded(tx, async () => {
      rows = await actor.rpc(rpc, args(staged))
    })
    const by = {
      actor_id: actor.id || null,
      made_as: actor.id ? 'authenticated' : 'service_role',
    }
    const expected = changes(staged, by.actor_id, rows[0] ?? {})
    expect([...found]).toEqual(expected.map((change) => ({ ...change, ...by })))
  }),
)

test.for([...unrecorded.keys()])('%s puts nothing on record', (rpc) =>
  undone(sql, async (tx) => {
    const { args, answers } = calls[rpc] as (typeof calls)[string]
    // The admin of the stage has no code: get_or_create_code makes one, which is on record, as of all staff.
    const answered = callers.filter(
      (caller) => ['ok', 'none'].includes(answers[caller]) && caller !== 'admin',
    )
    expect(answered).not.toEqual([])
    const found = await recorded(tx, async () => {
      for (const caller of answered)
        await tx.savepoint((point) => actors(point, staged)[caller].rpc(rpc, args(staged)))
    })
    expect([...found]).toEqual([])
  }),
)

describe('the operator’s own settings of an organisation', () => {
  test('are on record: the link host and the Stripe account', () =>
    undone(sql, async (tx) => {
      const { org } = await scene(tx)
      const changes = { link_origin: 'https://in.example.org', stripe_account_id: 'acct_1' }
      const found = await recorded(tx, () =>
        operator(tx).rpc('update_organisation', { org_id: org, changes }),
      )
      expect(found).toMatchObject([
        changed('organisation', org, {
          stripe_account_id: [null, 'acct_1'],
          stripe_account_since: [time, expect.anything()],
        }),
        changed('organisation', org, { link_origin: [null, 'https://in.example.org'] }),
      ])
    }))

  test('are on record when an allowed word is taken back', () =>
    undone(sql, async (tx) => {
      const allow = (allowed: boolean) =>
        operator(tx).rpc('allow_word', { org_id: staged.org, word: 'COCK', allowed })
      await allow(true)
      const found = await recorded(tx, async () => {
        await allow(true)
        await allow(false)
        await allow(false)
      })
      expect(found).toMatchObject([
        { subject: 'allowed_word', subject_id: staged.org, before: { word: 'COCK' }, after: null },
      ])
    }))
})

describe('a limit', () => {
  test('is on record as a number when it is raised, and when it is taken away', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const { id: before } = await codeOf(mentor, org)
      await codeOf(coordinator, org)
      const limit = (code_id: unknown, max_uses: number | null) =>
        coordinator.rpc('update_code', { code_id, changes: { max_uses } })
      await limit(before, 5)
      const [code] = await mentor.rpc('rotate_code', { org_id: org, grace: '1 day' })
      const found = await recorded(tx, async () => {
        for (const max_uses of [6, 6, null]) await limit(code?.id, max_uses)
      })
      expect(found).toMatchObject([
        changed('code', code?.id, { max_uses: [5, 6] }),
        changed('code', before, { max_uses: [6, null] }),
        changed('code', code?.id, { max_uses: [6, null] }),
      ])
    }))

  test('that is used leaves nothing on record', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, friend } = await scene(tx)
      const [code] = await coordinator.rpc('create_campaign_code', { org_id: org, max_uses: 5 })
      const found = await recorded(tx, () => friend.rpc('redeem_code', { code: code?.code }))
      expect([...found]).toEqual([])
    }))
})

describe('a batch', () => {
  test('is on record once, also where some of its codes had to be drawn again', () =>
    undone(sql, async (tx) => {
      const { org, coordinator } = await scene(tx)
      await tx`
        insert into referral_private.reserved_words (word)
        select 'A' || chr(65 + n) || chr(65 + m) from generate_series(0, 7) as n, generate_series(0, 7) as m`
      const found = await recorded(tx, () =>
        coordinator.rpc('generate_codes', { org_id: org, count: 1000 }),
      )
      expect(found).toMatchObject([{ subject: 'code_batch', after: { made: 1000 } }])
    }))

  test('whose codes end by themselves puts nothing on record, but what staff do to one of them', () =>
    undone(sql, async (tx) => {
      const { org, coordinator } = await scene(tx)
      await coordinator.rpc('generate_codes', { org_id: org, count: 3 })
      const [code] = await tx`
        update referral.codes set expires_at = clock_timestamp() where org_id = ${org} returning id`
      const found = await recorded(tx, async () => {
        await operator(tx).rpc('expire_codes')
        const changes = { description: 'Left over' }
        await coordinator.rpc('update_code', { code_id: code?.id, changes })
      })
      expect(found).toMatchObject([changed('code', code?.id, { description: [null, 'Left over'] })])
    }))
})

describe('what people do for themselves', () => {
  test('puts nothing on record: enrolling, and the whole life of their code', () =>
    undone(sql, async (tx) => {
      const { org, friend, coordinator } = await scene(tx)
      const found = await recorded(tx, async () => {
        await friend.rpc('get_or_create_code', { org_id: org })
        await friend.rpc('rotate_code', { org_id: org, grace: '1 day' })
        await friend.rpc('deactivate_code', { org_id: org })
      })
      expect([...found]).toEqual([])
      const invited = await recorded(tx, () =>
        coordinator.rpc('add_member', { org_id: org, user_id: friend.id }),
      )
      expect(invited).toMatchObject([
        changed('member', friend.id, { admitted_by: [friend.id, coordinator.id] }),
      ])
    }))

  test('is on record for staff: their own code, and the rights that they give away', () =>
    undone(sql, async (tx) => {
      const { org, admin, coordinator } = await scene(tx)
      const who = { org_id: org, user_id: admin.id }
      await admin.rpc('set_member_role', { ...who, user_id: coordinator.id, role: 'admin' })
      const found = await recorded(tx, async () => {
        await admin.rpc('get_or_create_code', { org_id: org })
        await admin.rpc('set_member_role', { ...who, role: 'member' })
      })
      expect(found).toMatchObject([
        { subject: 'code', after: { referrer_id: admin.id, created_by: admin.id } },
        { ...changed('member', admin.id, { role: ['admin', 'member'] }), actor_id: admin.id },
      ])
    }))
})

describe('a name', () => {
  test('is on record while the link shows it, and not before or after', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      const name = (display_name: string | null, public_name: boolean) =>
        mentor.rpc('set_my_name', { org_id: org, display_name, public_name })
      const found = await recorded(tx, async () => {
        await name('Kim', false)
        await name('Olivia', true)
        await name('Olivia', true)
        await name('Coach', true)
        await name(null, false)
        await name('Kim', false)
      })
      expect(found).toMatchObject([
        changed('member', mentor.id, {
          ...{ display_name: [null, 'Olivia'], public_name: [false, true] },
        }),
        changed('member', mentor.id, { display_name: ['Olivia', 'Coach'] }),
        changed('member', mentor.id, {
          ...{ display_name: ['Coach', null], public_name: [true, false] },
        }),
      ])
    }))

  test('that the link shows changes 50 times in 24 hours, and not once more', () =>
    undone(sql, async (tx) => {
      const { org, mentor, admin } = await scene(tx)
      const name = (by: typeof mentor, display_name: unknown) =>
        by.rpc('set_my_name', { org_id: org, display_name: `${display_name}`, public_name: true })
      for (let n = 1; n <= 50; n++) await name(mentor, n)
      await name(mentor, 50)
      expect(await refusal(name(mentor, 51))).toBe('rate_limited')
      expect(await name(admin, 'Ada')).toHaveLength(1)
      await tx.unsafe(`
        alter table referral_private.changes disable trigger changes_are_append_only;
        update referral_private.changes set changed_at = changed_at - interval '24 hours'
        where id = (select max(id) from referral_private.changes where subject_id = '${mentor.id}');
        alter table referral_private.changes enable always trigger changes_are_append_only`)
      expect(await name(mentor, 51)).toHaveLength(1)
      expect(await refusal(name(mentor, 52))).toBe('rate_limited')
    }))
})

describe('a reason', () => {
  test('is on record with each change that was given one, the same one too, and with no other', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const who = { org_id: org, user_id: mentor.id, reason: 'spam' }
      const found = await recorded(tx, async () => {
        await coordinator.rpc('deactivate_member', who)
        await coordinator.rpc('deactivate_member', { ...who, block: true })
        await coordinator.rpc('deactivate_member', who)
      })
      expect([...found].filter(({ subject }) => subject === 'member')).toMatchObject([
        changed('member', mentor.id, { deactivated_at: [null, time], reason: [null, 'spam'] }),
        {
          before: { blocked_at: null, reason: 'spam' },
          after: { blocked_at: time, reason: 'spam' },
        },
      ])
    }))
})

test('what the operator changes by SQL is on record, with times in UTC and intervals as ever', () =>
  undone(sql, async (tx) => {
    const { org, program, admin, mentor, coordinator } = await scene(tx)
    const { id } = await codeOf(mentor, org)
    await coordinator.rpc('set_my_name', { org_id: org, display_name: 'Kim' })
    await tx`set local timezone = 'Asia/Kathmandu'`
    await tx`set local intervalstyle = 'iso_8601'`
    const expires_at = '2099-01-01T00:00:00+00:00'
    const found = await recorded(tx, async () => {
      await tx`update referral.organisations set click_window = '2 days', updated_at = '2020-01-01' where id = ${org}`
      await tx`update referral.members set blocked_at = ${expires_at} where user_id = ${mentor.id}`
      await tx`update referral.codes set expires_at = ${expires_at}, beneficiary_id = ${mentor.id} where id = ${id}`
      await tx`select referral.generate_codes(${org}, 1, expires_at => ${expires_at})`
      await tx`delete from referral.members where user_id = ${coordinator.id}`
      await tx`update referral.programs set name = name where org_id = ${org}`
    })
    const by = { actor_id: null, made_as: 'postgres' }
    expect([...found]).toEqual([
      { ...by, ...changed('organisation', org, { click_window: ['30 days', '2 days'] }) },
      { ...by, ...changed('member', mentor.id, { blocked_at: [null, expires_at] }) },
      {
        ...by,
        ...changed('code', id, {
          ...{ expires_at: [null, expires_at], beneficiary_id: [null, mentor.id] },
        }),
      },
      {
        ...by,
        ...made('code_batch', expect.any(String), { made: 1, program_id: program, expires_at }),
      },
      {
        ...{ ...by, subject: 'member', subject_id: coordinator.id, after: null },
        before: { role: 'coordinator', public_name: false, admitted_by: admin.id },
      },
    ])
  }))

test('a program that becomes the default is on record, and the one that was', () =>
  undone(sql, async (tx) => {
    const { org, program, admin } = await scene(tx)
    const [other] = await admin.rpc('create_program', { org_id: org, key: 'x', name: 'X' })
    const found = await recorded(tx, () =>
      admin.rpc('update_program', { program_id: other?.id, changes: { is_default: true } }),
    )
    expect(found).toMatchObject([
      changed('program', program, { is_default: [true, false] }),
      changed('program', other?.id, { is_default: [false, true] }),
    ])
  }))

test('a change that is refused leaves nothing on record', () =>
  undone(sql, async (tx) => {
    const { org, admin } = await scene(tx)
    const found = await recorded(tx, () =>
      refusal(admin.rpc('update_organisation', { org_id: org, changes: { code_length: 7 } })),
    )
    expect([...found]).toEqual([])
  }))

describe('list_changes', () => {
  test('gives pages of one organisation, newest first, each change once', () =>
    undone(sql, async (tx) => {
      const { org, admin, coordinator, mentor } = await scene(tx)
      await scene(tx)
      const seen: Record<string, unknown>[] = []
      for (let after: unknown = null; ; ) {
        const page = await admin.rpc('list_changes', { org_id: org, after, page_size: 2 })
        seen.push(...page)
        if (page.length < 2) break
        after = page.at(-1)?.id
      }
      expect(seen).toMatchObject([
        made('member', mentor.id, { role: 'member', admitted_by: coordinator.id }),
        made('member', coordinator.id, { role: 'coordinator' }),
        { subject: 'terms', actor_id: admin.id },
        { subject: 'program', actor_id: admin.id },
        { ...made('member', admin.id, { role: 'admin' }), actor_id: null },
        { subject: 'organisation', subject_id: org, actor_id: null, changed_at: expect.any(Date) },
      ])
    }))

  test('gives those of one subject, or by one person', () =>
    undone(sql, async (tx) => {
      const { org, program, admin, coordinator, mentor } = await scene(tx)
      const subjects = async (filter: object) =>
        (await admin.rpc('list_changes', { org_id: org, ...filter })).map(({ subject }) => subject)
      expect(await subjects({ subject_id: program })).toEqual(['terms', 'program'])
      expect(await subjects({ actor_id: coordinator.id })).toEqual(['member'])
      const both = { subject_id: mentor.id, actor_id: admin.id }
      expect(await subjects(both)).toEqual([])
    }))

  test('refuses to go on after a change of another organisation', () =>
    undone(sql, async (tx) => {
      const [here, there] = [await scene(tx), await scene(tx)]
      const [other] = await there.admin.rpc('list_changes', { org_id: there.org })
      const after = (id: unknown) => here.admin.rpc('list_changes', { org_id: here.org, after: id })
      for (const id of [other?.id, 0]) expect(await refusal(after(id))).toBe('invalid_argument')
    }))
})
