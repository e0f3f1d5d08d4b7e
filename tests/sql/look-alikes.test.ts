/** Codes of two organisations that people confuse: warned about when made, and refused where an organisation wants that. */
import { describe, expect, test } from 'vitest'
import { type Actor, operator, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

const make = async (staff: Actor, org: string, code: string) =>
  (await staff.rpc('create_campaign_code', { org_id: org, code }))[0]
const refuse = (admin: Actor, org: string) =>
  admin.rpc('update_organisation', { org_id: org, changes: { refuse_look_alikes: true } })
const ownHost = (tx: Sql, org: string) =>
  operator(tx).rpc('update_organisation', {
    org_id: org,
    changes: { link_origin: `https://${org}.example.org` },
  })

const alike = [
  ...[
    'SUSIE-S',
    '5USIE-5',
    'SVSIE-5',
    'susie s',
    '5u5ie-5',
    '5U51E5',
    'SUS1E-S',
    '“SUSlE-S”',
    '5VSIE5',
  ].map((code) => ['SUSIE-5', code] as const),
  ['ZOE-2', '2OE-2'],
  ['BOB-8', '80B-B'],
  ['GUS-6', 'GU5-G'],
  ['7KQ2-M9XT', '7KQZ-M9XT'],
] as const

describe('a chosen code', () => {
  test.for(alike)('like %s warns: %s', ([known, code]) =>
    undone(sql, async (tx) => {
      const [one, other] = [await scene(tx), await scene(tx)]
      expect(await make(one.coordinator, one.org, known)).toMatchObject({
        looks_like_another: false,
      })
      expect(await make(other.coordinator, other.org, code)).toMatchObject({
        looks_like_another: true,
      })
    }),
  )

  test.for(alike)('like %s is refused where the organisation wants that: %s', ([known, code]) =>
    undone(sql, async (tx) => {
      const [one, other] = [await scene(tx), await scene(tx)]
      await make(one.coordinator, one.org, known)
      await refuse(other.admin, other.org)
      const call = () => make(other.coordinator, other.org, code)
      expect(await refusal(call())).toBe('code_looks_alike')
      const ofMentor = { org_id: other.org, referrer_id: other.mentor.id }
      await codeOf(other.mentor, other.org)
      expect(await refusal(other.coordinator.rpc('rotate_code', { ...ofMentor, code }))).toBe(
        'code_looks_alike',
      )
    }),
  )

  test.for([
    ['SUSIE-5', 'SUSIE-6'],
    ['SUSIE-5', 'SUSIE'],
    ['SUSIE-5', 'SUSIE-55'],
    ['SUSIE-5', 'USIES-5'],
    ['ANNA-1', 'ANNA-7'],
    ['DORA', 'OORA'],
    ['QUEEN', 'OUEEN'],
  ] as const)('unlike %s does not warn: %s', ([known, code]) =>
    undone(sql, async (tx) => {
      const [one, other] = [await scene(tx), await scene(tx)]
      await make(one.coordinator, one.org, known)
      await refuse(other.admin, other.org)
      expect(await make(other.coordinator, other.org, code)).toMatchObject({
        looks_like_another: false,
      })
    }),
  )

  test('warns of a referrer’s code, drawn or chosen, and for one', () =>
    undone(sql, async (tx) => {
      const [one, other] = [await scene(tx), await scene(tx)]
      const ofMentor = { org_id: other.org, referrer_id: other.mentor.id }
      const { code } = await codeOf(one.mentor, one.org)
      const like = code.replace(/[2568]/, (c) => ({ 2: 'Z', 5: 'S', 6: 'G', 8: 'B' })[c] ?? c)
      const swapped = like.replace(/[ZSGB]/, (c) => ({ Z: '2', S: '5', G: '6', B: '8' })[c] ?? c)
      const text = like !== code ? like : swapped !== code ? swapped : null
      await make(one.coordinator, one.org, 'SUSIE-5')
      const made = await other.coordinator.rpc('create_code', {
        ...ofMentor,
        code: text ?? 'SUSIE-S',
      })
      expect(made).toMatchObject([{ looks_like_another: true }])
      const [next] = await other.mentor.rpc('rotate_code', { org_id: other.org })
      expect(next).toMatchObject({ looks_like_another: false })
    }))

  test('does not warn of one’s own codes, of ended codes, or on a host of one’s own', () =>
    undone(sql, async (tx) => {
      const [one, other, third] = [await scene(tx), await scene(tx), await scene(tx)]
      const known = await make(one.coordinator, one.org, 'SUSIE-5')
      expect(await make(one.coordinator, one.org, '5USIE-5')).toMatchObject({
        looks_like_another: false,
      })
      await ownHost(tx, other.org)
      expect(await make(other.coordinator, other.org, 'SUSIE-S')).toMatchObject({
        looks_like_another: false,
      })
      await ownHost(tx, one.org)
      expect(await make(third.coordinator, third.org, 'SU5IE-5')).toMatchObject({
        looks_like_another: false,
      })
      await operator(tx).rpc('update_organisation', {
        org_id: one.org,
        changes: { link_origin: null },
      })
      expect(await make(third.coordinator, third.org, 'SU5IE-S')).toMatchObject({
        looks_like_another: true,
      })
      await one.coordinator.rpc('suspend_code', { code_id: known?.id })
      await tx`update referral.codes set status = 'invalidated', ended_at = now() where code = '5USIE-5'`
      expect(await make(third.coordinator, third.org, '5U5IE-5')).toMatchObject({
        looks_like_another: true,
      })
      await one.coordinator.rpc('end_code', { code_id: known?.id })
      expect(await make(third.coordinator, third.org, '5U5IE-S')).toMatchObject({
        looks_like_another: false,
      })
    }))

  test('that is the same one is taken, whatever the setting', () =>
    undone(sql, async (tx) => {
      const [one, other] = [await scene(tx), await scene(tx)]
      await make(one.coordinator, one.org, 'SUSIE-5')
      await refuse(other.admin, other.org)
      expect(await refusal(make(other.coordinator, other.org, 'SUS1E-5'))).toBe('code_taken')
    }))

  test('keeps what was said of it', () =>
    undone(sql, async (tx) => {
      const { org, coordinator } = await scene(tx)
      const made = await make(coordinator, org, 'SUSIE-5')
      const change = tx.savepoint(
        (inner) =>
          inner`update referral.codes set looks_like_another = true where id = ${String(made?.id)}`,
      )
      expect(await refusal(change)).toBe('code_ended')
    }))

  test('is compared with few of very many codes of one look', () =>
    undone(sql, async (tx) => {
      const [one, other] = [await scene(tx), await scene(tx)]
      const spell = (n: number) =>
        [...'SSSSSSSSSSSS'].map((c, place) => ((n >> place) & 1 ? '5' : c)).join('')
      const rows = Array.from({ length: 4000 }, (_, n) => ({ code: spell(n) }))
      await one.coordinator.rpc('import_codes', { org_id: one.org, rows })
      await tx`analyze referral.codes`
      const read = async (org: string) => {
        const [row] = await tx`
          explain (analyze, format json, buffers)
          select referral_private.looks_like_another(${org}, ${spell(4095)})`
        return row?.['QUERY PLAN'][0].Plan['Shared Hit Blocks'] as number
      }
      await read(other.org)
      for (const org of [one.org, other.org]) expect(await read(org)).toBeLessThan(400)
    }))
})

describe('an import', () => {
  const rows = [{ code: 'OTHER-1' }, { code: 'susie-s', max_uses: 5 }]

  test('warns of its rows, in a dry run and after it', () =>
    undone(sql, async (tx) => {
      const [one, other] = [await scene(tx), await scene(tx)]
      await make(one.coordinator, one.org, 'SUSIE-5')
      const take = (args: object = {}) =>
        other.coordinator.rpc('import_codes', { org_id: other.org, rows, ...args })
      expect(await take({ dry_run: true })).toMatchObject([
        {
          made: 2,
          rows: [{ looks_like_another: false }, { row: 2, looks_like_another: true, faults: [] }],
        },
      ])
      expect(await take()).toMatchObject([
        {
          made: 2,
          rows: [{ row: 2, code: 'SUSIE-S', max_uses: 5, looks_like_another: true, faults: [] }],
        },
      ])
      expect(await other.coordinator.rpc('find_code', { code: 'SUSIE-S' })).toMatchObject([
        { looks_like_another: true },
      ])
    }))

  test('names the rows that the organisation refuses', () =>
    undone(sql, async (tx) => {
      const [one, other] = [await scene(tx), await scene(tx)]
      await make(one.coordinator, one.org, 'SUSIE-5')
      await refuse(other.admin, other.org)
      const call = other.coordinator.rpc('import_codes', { org_id: other.org, rows })
      const faults = [{ column: 'code', code: 'code_looks_alike', details: null }]
      expect(await call).toEqual([
        { batch_id: null, made: 0, rows: [{ row: 2, code: 'susie-s', faults }] },
      ])
    }))
})
