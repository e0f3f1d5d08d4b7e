/** Calls of the Data API beside servers that answer as a proxy, a database or nobody does. */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { connectDataApi } from '../../functions/_shared/data-api.ts'

type Answer = { status?: number; body?: string; headers?: Record<string, string> }

let answer: Answer | null = {}
const asked: { request: IncomingMessage; body: string }[] = []
const server = createServer(async (request, response) => {
  let body = ''
  for await (const chunk of request) body += chunk
  asked.push({ request, body })
  if (!answer) return
  response.writeHead(answer.status ?? 200, answer.headers).end(answer.body ?? '')
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
afterAll(() => {
  server.close()
  server.closeAllConnections()
})
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const call = (timeout?: number) =>
  connectDataApi(`${url}/`, 'sb_secret_1')('resolve_code', { code: 'ä"\n' }, timeout)

beforeEach(() => {
  asked.length = 0
})

test('a call is a POST with the key, the schema and the arguments', async () => {
  answer = { body: '[]' }
  await call()
  const [{ request, body } = {}] = asked
  expect([request?.method, request?.url]).toEqual(['POST', '/rest/v1/rpc/resolve_code'])
  expect(request?.headers).toMatchObject({
    apikey: 'sb_secret_1',
    authorization: 'Bearer sb_secret_1',
    'content-profile': 'referral',
  })
  expect(JSON.parse(body ?? '')).toEqual({ code: 'ä"\n' })
})

test.for([
  ['a row', '[{"code":"A"}]', { code: 'A' }],
  ['no row', '[]', null],
  ['a value', 'true', true],
  ['nothing', '', null],
] as const)('%s is the result', async ([, body, data]) => {
  answer = { body }
  expect(await call()).toEqual({ data, error: null })
})

test.for([
  ['of the database', { status: 409, body: '{"code":"busy","message":"Olivia"}' }, 'busy'],
  ['of a proxy', { status: 502, body: '<html>Olivia</html>' }, ''],
  ['with a code that is a sentence', { status: 400, body: '{"code":"for Olivia"}' }, ''],
  ['with a code that is no text', { status: 400, body: '{"code":{"for":"Olivia"}}' }, ''],
  ['without a body', { status: 500 }, ''],
  ['that is no JSON, though it succeeded', { body: '<html>Olivia</html>' }, ''],
] as const)('an error %s has its code, and nothing else', async ([, given, code]) => {
  answer = given
  expect(await call()).toEqual({ data: null, error: { code } })
})

test('a redirect is not followed, so that the key stays here', async () => {
  answer = { status: 307, headers: { location: `${url}/elsewhere` } }
  expect(await call()).toEqual({ data: null, error: { code: '' } })
  expect(asked).toHaveLength(1)
})

test('a call without a response ends after its time', async () => {
  answer = null
  expect(await call(50)).toEqual({ data: null, error: { code: '' } })
})
