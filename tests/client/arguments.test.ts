/** Wrong arguments: every method of every client returns an error for them, and throws none. */
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
import { operatorOverHttp, personOverHttp } from '../support/http.ts'

const person = await personOverHttp()
const clients = {
  referrals: createReferralClient(person.supabase),
  staff: createStaffClient(person.supabase),
  operator: createOperatorClient(operatorOverHttp()),
}
type Method = (...args: unknown[]) => Promise<Result<unknown>>
const methods = Object.entries(clients).flatMap(([client, calls]) =>
  Object.entries(calls)
    .filter(([name]) => name !== 'clearCache')
    .map(([name, method]) => [`${client}.${name}`, method as Method] as const),
)
/** Those that need no argument. */
const needNone = ['referrals.redeemSignUpCode', 'operator.verifyLedger']
needNone.push('operator.listUnattributed', 'operator.countParkedEvents')

const times = (value: unknown) => Array.from({ length: 5 }, () => value)

test('there are more than forty methods', () => {
  expect(methods.length).toBeGreaterThan(40)
})

describe('returns an error, and does not throw', () => {
  test.for(methods)('%s', async ([name, method]) => {
    for (const wrong of [undefined, null, 5, {}, 'x']) {
      const { error } = await method(...times(wrong))
      const codes = ['invalid_argument', 'invalid_code', 'code_not_found', undefined]
      if (wrong !== undefined && wrong !== null)
        expect([...codes, 'not_a_member', 'misconfigured']).toContain(error?.code)
      else if (!needNone.includes(name))
        expect(error, String(wrong)).toMatchObject({ code: 'invalid_argument', retryable: false })
    }
  })
})

test.for([
  [() => clients.referrals.validate(undefined as never), 'code: a text'],
  [() => clients.referrals.redeem(12345678 as never), 'code: a text'],
  [() => clients.referrals.findByCode(null as never), 'code: a text'],
  [() => clients.referrals.myReferrals(undefined as never), 'org_id: required'],
  [() => clients.referrals.listCodesByOrganisation(undefined as never), 'org_id: required'],
  [() => clients.staff.suspendCode(undefined as never), 'code_id: required'],
  [() => clients.staff.usageForUser(person.id, null as never), 'user_id: required'],
  [() => clients.staff.rejectReferral(person.id, person.id, undefined as never), 'of: required'],
  [() => clients.staff.updateProgram(person.id, undefined as never), 'changes: required'],
] as const)('%s names what is missing', async ([call, expected]) => {
  expect((await call()).error).toMatchObject({ code: 'invalid_argument', details: expected })
})

test('an optional argument that is undefined is as if it were left out', async () => {
  const options = { code: undefined, reason: undefined } as object
  const org = crypto.randomUUID()
  const { error } = await clients.referrals.rotateCode(person.id, org, options)
  expect(error?.code).toBe('not_a_member')
})

describe('the functions of links', () => {
  test.for([undefined, null, 5, {}, []])('find nothing in %o', (text) => {
    expect(parseReferralLink(text as never, ['https://go.example.org'])).toBeNull()
    expect(parseInstallReferrer(text as never)).toBeNull()
    const links = createReferralLinks({ origin: 'https://go.example.org' })
    expect(links.parseReferralLink(text as never)).toBeNull()
  })

  test('make no link without an origin or a code', () => {
    const noOrigin = /^origin: the link origin/
    expect(() => shareUrl(null as never, 'ABC')).toThrow(noOrigin)
    expect(() => shareText(undefined as never, 'ABC')).toThrow(noOrigin)
    expect(() => shareUrl('https://go.example.org', undefined as never)).toThrow('code: a text')
  })
})

test('a client is made of a client of supabase-js', () => {
  const sentence = 'Pass a client of supabase-js: createClient(url, key)'
  for (const wrong of [undefined, null, inject('stack').SUPABASE_URL, {}]) {
    expect(() => createReferralClient(wrong as never)).toThrow(sentence)
    expect(() => createStaffClient(wrong as never)).toThrow(sentence)
    expect(() => createOperatorClient(wrong as never)).toThrow(sentence)
  }
})
