/** Wrong arguments: every method of every client returns an error for them in our words, and throws none. */
import { describe, expect, inject, test } from 'vitest'
import {
  createOperatorClient,
  createReferralClient,
  createReferralLinks,
  createStaffClient,
  parseInstallReferrer,
  parseReferralLink,
  shareText,
  shareUrl,
} from '../../client/index.ts'
import type { Result } from '../../client/result.ts'
import { operatorOverHttp, personOverHttp, sceneOverHttp } from '../support/http.ts'

const person = await personOverHttp()
const orgId = crypto.randomUUID()
const { clearCache: _, ...referrals } = createReferralClient(person.supabase, { orgId })
const staff = createStaffClient(person.supabase, { orgId })
const operator = createOperatorClient(operatorOverHttp())
const clients = { referrals, staff, operator }

type Method = (...args: unknown[]) => Promise<Result<unknown>>
const methods = Object.entries(clients).flatMap(([client, calls]) =>
  Object.entries(calls).map(([name, method]) => [`${client}.${name}`, method as Method] as const),
)
/** The methods whose options can all be missing. */
const needNone = ['listCodes', 'createCode', 'getOrCreateCode', 'getActiveCode', 'rotateCode']
  .concat([
    'deactivateCode',
    'redeemSignUpCode',
    'myMemberships',
    'myRedemption',
    'myReferrals',
    'myEarnings',
  ])
  .concat(['myStatement', 'createCampaignCode', 'orgLiabilities', 'listDecisions', 'listChanges'])
  .concat(['updateOrganisation', 'verifyLedger', 'listUnattributed', 'countParkedEvents'])
  .concat(['listOrganisations', 'listParkedEvents', 'health', 'runMaintenance', 'maintainClicks'])
  .concat(['expireCodes', 'expireRedemptions', 'purgeRateLimits', 'purgeSignUpClaims'])
  .concat(['recogniseUsers', 'releaseDueCommissions', 'maintainEvents'])
const takesNothing = [
  'referrals.redeemSignUpCode',
  'referrals.myMemberships',
  'staff.health',
  'operator.installedVersion',
]

const invalid = { code: 'invalid_argument', retryable: false, final: false }

test('there are more than forty methods', () => {
  expect(methods.length).toBeGreaterThan(40)
})

describe('returns an error in our words, and does not throw', () => {
  const times = (value: unknown) => Array.from({ length: 5 }, () => value)
  const ours = /^[\w[\].]+: \S/

  test.for(methods)('%s', async ([name, method]) => {
    for (const wrong of [undefined, null, 5, {}, [], 'x']) {
      const { error } = await method(...times(wrong))
      if (wrong === undefined && needNone.includes(name.split('.')[1] ?? '')) continue
      if (error?.code === 'invalid_argument') expect(error.details).toMatch(ours)
      if (takesNothing.includes(name) || (wrong !== null && error?.code !== 'invalid_argument'))
        expect([
          'invalid_code',
          'code_not_found',
          'not_a_member',
          'not_invited',
          undefined,
        ]).toContain(error?.code)
      else expect(error).toMatchObject(invalid)
    }
  })
})

describe('an option that there is not', () => {
  const optionsOf = methods.filter(([name]) => !takesNothing.includes(name))

  test.for(optionsOf)('is refused by %s', async ([name, method]) => {
    const isOfCode = /validate|redeem$|findByCode|resolve|hasRedeemed|ByOrganisation/.test(name)
    const { error } = await (isOfCode ? method('ABC', { no_such: 1 }) : method({ no_such: 1 }))
    if (isOfCode && !/redeem$|ByOrganisation/.test(name)) expect(error?.code).not.toBe('unexpected')
    else expect(error?.details).toMatch(/^no_such: no such option. The options are: [a-z]/)
  })

  test.for([
    [() => staff.createCampaignCode({ max_uses: 5 } as object), 'max_uses: no such option'],
    [() => staff.generateCodes({ count: 5, maxUse: 5 } as never), 'maxUse: no such option'],
    [() => referrals.createCode(person.id, orgId, 'A', { max_uses: 1 } as object), 'max_uses: no'],
    [() => referrals.listCodesByOrganisation(orgId, { limit: 5 } as object), 'limit: no such opt'],
    [
      () => staff.importCodes({ rows: [{ code: 'A' }, { code: 'B', max_uses: 1 }] as never }),
      'rows[1].max_uses: no such option. The options are: code, maxUses',
    ],
  ] as const)('%s is named, with those that there are', async ([call, expected]) => {
    const { error } = await call()
    expect(error).toMatchObject(invalid)
    expect(error?.details).toContain(expected)
  })

  test('is named by updateOrganisation with the settings that the database accepts', async () => {
    const { org } = await sceneOverHttp()
    const args = { org_id: org, changes: { nonsense: 1 } }
    const { error } = await operatorOverHttp().rpc('update_organisation', args)
    const [, accepted = ''] = /known are (.*)/.exec(error?.details ?? '') ?? []
    const refused = await staff.updateOrganisation({ nonsense: 1 } as object)
    const [, offered = ''] = /The options are: (.*)/.exec(refused.error?.details ?? '') ?? []
    const columns = offered.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    expect(columns.split(', ').sort()).toEqual(accepted.split(', ').sort())
  })
})

describe('a value that is not allowed', () => {
  const row = { id: 'x' }
  test.for([
    [() => referrals.validate(undefined as never), 'code: required'],
    [() => referrals.redeem(12345678 as never), 'code: a text'],
    [() => referrals.findByCode(null as never), 'code: required'],
    [() => referrals.createCode({ code: 5 as never }), 'code: a text'],
    [() => referrals.createCode({ maxUses: Number('many') }), 'maxUses: a valid number or date'],
    [
      () => referrals.createCode({ expiresAt: new Date('soon') as never }),
      'expiresAt: a valid number or date',
    ],
    [
      () => staff.updateCode({ codeId: orgId, maxUses: Number.NaN }),
      'maxUses: a valid number or date',
    ],
    [
      () => staff.importCodes({ rows: [{ code: 'A', maxUses: Number('5 uses') }] }),
      'rows[0].maxUses: a valid number or date',
    ],
    [
      () =>
        staff.updateProgram({
          programId: orgId,
          terms: { max_commissions_per_referrer: Number.NaN },
        }),
      'terms.max_commissions_per_referrer: a valid number',
    ],
    [
      () => staff.createProgram({ key: 'a', name: 'A', terms: { minimum_sale: { usd: 0 / 0 } } }),
      'terms.minimum_sale.usd: a valid number',
    ],
    [() => referrals.deactivateCode(orgId, orgId, { reason: 'x' } as never), 'reason: a text'],
    [() => referrals.rotateCode({ grace: 5 as never }), 'grace: an interval, such as "2 days"'],
    [() => referrals.codeUses(undefined as never), 'codeIds: required'],
    [() => referrals.explainCommission({} as never), 'sale: required'],
    [() => referrals.setMyName({} as never), 'name: required'],
    [() => staff.suspendCode(undefined as never), 'codeId: required'],
    [() => staff.suspendCode('x' as never), 'options: an object'],
    [() => referrals.listCodes([] as never), 'options: an object'],
    [() => referrals.listCodes(new Map([['usable', true]]) as never), 'options: an object'],
    [() => referrals.listCodes({ constructor: 1 } as never), 'options: an object'],
    [
      () => referrals.listCodes({ toString: 1 } as never),
      'toString: no such option. The options are: referrerId, programId, batchId, usable, after, pageSize',
    ],
    [() => staff.usageForUser({ userId: null as never }), 'userId: required'],
    [() => staff.rejectReferral({} as never), 'programId: required'],
    [() => staff.updateProgram({ name: 'New' } as never), 'programId: required'],
    [() => staff.importCodes({ rows: {} as never }), 'rows: a list'],
    [() => staff.importCodes({ rows: [5 as never] }), 'rows[0].options: an object'],
    ...[0, 1001, 1.5, '5', Number.NaN].flatMap((pageSize) =>
      [referrals.listCodes, referrals.myReferrals, staff.listDecisions, operator.verifyLedger].map(
        (list) => [() => list({ pageSize: pageSize as never }), 'pageSize: 1 to 1,000'] as const,
      ),
    ),
    ...['x', 5, {}].flatMap((after) =>
      [referrals.listCodes, referrals.myReferrals, staff.orgLiabilities, staff.listChanges].map(
        (list) =>
          [
            () => list({ after: after as never }),
            'after: the last row of the previous page',
          ] as const,
      ),
    ),
    [
      () => staff.listDecisions({ after: row as never }),
      'after: the last row of the previous page',
    ],
  ] as const)('%s is refused', async ([call, expected]) => {
    const { error } = await call()
    expect(error).toMatchObject({ ...invalid, details: expected })
  })

  test('undefined is as if an option were left out, and so is the row after none', async () => {
    const options = { code: undefined, reason: undefined } as object
    expect((await referrals.rotateCode(options)).error?.code).toBe('not_a_member')
    for (const after of [undefined, null]) {
      expect((await referrals.listCodes({ after })).data).toEqual([])
      expect((await referrals.myReferrals({ after })).data).toEqual([])
    }
  })
})

describe('the functions of links', () => {
  test.for([undefined, null, 5, {}, []])('find nothing in %o', (text) => {
    expect(parseReferralLink(text as never, ['https://go.example.org'])).toBeNull()
    expect(parseInstallReferrer(text as never)).toBeNull()
    const links = createReferralLinks({ origin: 'https://go.example.org' })
    expect(links.parseReferralLink(text as never)).toBeNull()
  })

  test('make no link without an origin or a code', () => {
    const noOrigin = /^origin: an address/
    expect(() => shareUrl(null as never, 'ABC')).toThrow(noOrigin)
    expect(() => shareText(undefined as never, 'ABC')).toThrow(noOrigin)
    expect(() => shareUrl('https://go.example.org', undefined as never)).toThrow('code: a text')
  })
})

describe('a client', () => {
  test('is made of a client of supabase-js', () => {
    const sentence = 'Pass a client of supabase-js: createClient(url, key)'
    for (const wrong of [undefined, null, inject('stack').SUPABASE_URL, {}]) {
      expect(() => createReferralClient(wrong as never, { orgId })).toThrow(sentence)
      expect(() => createStaffClient(wrong as never, { orgId })).toThrow(sentence)
      expect(() => createOperatorClient(wrong as never)).toThrow(sentence)
    }
  })

  test('has no other options', () => {
    const options = { orgId, cacheSecond: 5 } as never
    const sentence = 'cacheSecond: no such option'
    expect(() => createReferralClient(person.supabase, options)).toThrow(sentence)
    const ofReferrals = { orgId, cacheSeconds: 5 } as never
    expect(createReferralClient(person.supabase, ofReferrals)).toBeDefined()
    expect(() => createStaffClient(person.supabase, ofReferrals)).toThrow(
      'cacheSeconds: no such option',
    )
  })

  test('is of an organisation', () => {
    for (const wrong of [undefined, null, {}, { orgId: '' }, { org_id: orgId }]) {
      expect(() => createReferralClient(person.supabase, wrong as never)).toThrow(
        'createReferralClient: orgId: required',
      )
      expect(() => createStaffClient(person.supabase, wrong as never)).toThrow(
        'createStaffClient: orgId: required',
      )
    }
  })
})
