import { afterEach, expect, test } from 'vitest'
import { userAgents } from '../fixtures/user-agents.ts'
import { stackDatabase } from '../support/http.ts'
import { anyAddress, destinations, linkHandler, linkScene } from '../support/link.ts'

const sql = stackDatabase()
const { code, codeId } = await linkScene()
const { ask, settled } = linkHandler()

const start = {
  web: `${destinations.web_destination}&ref=${code}`,
  ios: destinations.ios_destination,
  android: `https://play.google.com/store/apps/details?id=${destinations.android_package}&referrer=ref%3D${code}`,
}

const clicks = () =>
  sql`select platform, counted from referral_private.clicks where code_id = ${codeId}`

afterEach(async () => {
  await sql`delete from referral_private.clicks where code_id = ${codeId}`
})

test.for(userAgents)('%s leads to %s, counted: %s', async ([, to, person, userAgent, hint]) => {
  const response = await ask(`/link/${code}`, {
    'user-agent': userAgent,
    'cf-connecting-ip': anyAddress(),
    ...(hint && { 'sec-ch-ua-platform': hint }),
  })
  await settled()
  expect(response.headers.get('location')).toContain(start[to])
  expect([...(await clicks())]).toEqual(person ? [{ platform: to, counted: true }] : [])
})

test('the table has at least 60 lines, of every kind', () => {
  expect(userAgents.length).toBeGreaterThanOrEqual(60)
  for (const platform of ['ios', 'android', 'web'])
    expect(userAgents.filter(([, to]) => to === platform).length).toBeGreaterThan(10)
})
