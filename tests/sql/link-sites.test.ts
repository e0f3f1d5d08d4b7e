import { describe, expect, test } from 'vitest'
import { anonymous, operator, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const apps = {
  ios_app_ids: ['ABCDE12345.org.example.app', 'ABCDE12345.org.example.app-beta'],
  android_package: 'org.example.app',
  android_fingerprints: [Array(32).fill('AB').join(':')],
}

/** An organisation with a link host, a destination and apps. */
async function withHost(tx: Sql, link_origin = 'https://go.example.org') {
  const here = await scene(tx)
  await operator(tx).rpc('update_organisation', { org_id: here.org, changes: { link_origin } })
  const changes = { web_destination: 'https://example.org/', ...apps }
  await here.admin.rpc('update_organisation', { org_id: here.org, changes })
  return here
}

describe('link_site', () => {
  test('gives anyone what belongs to a link host, in any case', () =>
    undone(sql, async (tx) => {
      await withHost(tx)
      await withHost(tx, 'https://go.example.com:8443')
      const site = (host: string) => anonymous(tx).rpc('link_site', { host })
      expect(await site('GO.example.org')).toEqual([
        { link_origin: 'https://go.example.org', web_destination: 'https://example.org/', ...apps },
      ])
      expect(await site('go.example.com:8443')).toMatchObject([
        { link_origin: 'https://go.example.com:8443' },
      ])
    }))

  test.for(['example.org', 'go.example.org.', 'go.example.org/', 'xgo.example.org', '%', '', null])(
    'gives nothing for %s',
    (host) =>
      undone(sql, async (tx) => {
        await withHost(tx)
        expect(await anonymous(tx).rpc('link_site', { host })).toEqual([])
      }),
  )
})

describe('a link host', () => {
  test('is set by the operator: an organisation’s admin could claim another’s', () =>
    undone(sql, async (tx) => {
      const { org, admin } = await scene(tx)
      const changes = { link_origin: 'https://go.example.org' }
      const call = admin.rpc('update_organisation', { org_id: org, changes })
      expect(await refusal(call)).toBe('not_allowed')
    }))

  test('is one organisation’s', () =>
    undone(sql, async (tx) => {
      await withHost(tx)
      expect(await refusal(withHost(tx))).toBe('link_origin_taken')
    }))

  test.for(['https://GO.example.org', 'https://go.example.org/', 'http://go.example.org', 'go'])(
    'is not %s',
    (link_origin) =>
      undone(sql, async (tx) => {
        expect(await refusal(withHost(tx, link_origin))).toBe('invalid_argument')
      }),
  )

  test('is told with each of the organisation’s codes, and none with others', () =>
    undone(sql, async (tx) => {
      const [here, there] = [await withHost(tx), await scene(tx)]
      const originOf = async ({ org, mentor }: typeof here) => {
        const { code } = await codeOf(mentor, org)
        return (await anonymous(tx).rpc('resolve_code', { code }))[0]?.link_origin
      }
      expect([await originOf(here), await originOf(there)]).toEqual([
        'https://go.example.org',
        null,
      ])
    }))
})

describe('the apps of an organisation', () => {
  test.for([
    { ios_app_ids: ['org.example.app'] },
    { ios_app_ids: ['ABCDE12345.org.example.app"'] },
    { ios_app_ids: ['ABCDE12345.a\nABCDE12345.b'] },
    { ios_app_ids: [null] },
    { ios_app_ids: null },
    { ios_app_ids: 'ABCDE12345.a' },
    { ios_app_ids: { app: 'ABCDE12345.a' } },
    { ios_app_ids: Array(21).fill('ABCDE12345.a') },
    { android_fingerprints: ['AB:CD'] },
    { android_fingerprints: [Array(32).fill('ab').join(':')] },
    { android_fingerprints: [`${Array(32).fill('AB').join(':')}:`] },
  ])('are not %j', (changes) =>
    undone(sql, async (tx) => {
      const { org, admin } = await scene(tx)
      const call = admin.rpc('update_organisation', { org_id: org, changes })
      expect(await refusal(call)).toBe('invalid_argument')
    }),
  )
})
