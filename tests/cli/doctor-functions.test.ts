/** `referbase doctor` of edge functions that are not as they should be. */
import { beforeAll, describe, expect, test } from 'vitest'
import { type Alter, platformSays } from '../support/altered.ts'
import { asItIs, examine, installation } from '../support/doctor.ts'

const { operator, local, project, examineAltered } = await installation()
beforeAll(async () => {
  await operator.rpc('run_maintenance', {}).throwOnError()
})

/** Answers for one function, and passes the rest on. */
const instead =
  (name: string, answer: () => Response): Alter =>
  (request, pass) =>
    request.url.includes(`/functions/v1/${name}`) ? answer() : pass()

describe('a function', () => {
  test('leads unknown codes to a placeholder', async () => {
    const { checked, wrong } = await examineAltered(asItIs)
    expect(wrong).toEqual(['fallback_url'])
    expect(checked.fallback_url?.message).toContain('https://example.com/, a placeholder')
    const right = await examineAltered(async (request, pass) => {
      const answer = await pass()
      if (request.method === 'HEAD') answer.headers.set('location', 'https://app.test/')
      return answer
    })
    expect(right.wrong).toEqual([])
  })

  test('is not deployed', async () => {
    const functions = { FUNCTIONS_URL: `${project.url}/functions/v2` }
    const { checked, wrong } = await examineAltered(asItIs, functions)
    expect(wrong).toEqual(['referbase-link_version', 'referbase-stripe-webhook_version'])
    expect(checked['referbase-link_version']).toMatchObject({
      message: 'referbase-link is not deployed.',
      remedy: expect.stringContaining('supabase functions deploy referbase-link --use-api'),
    })
    const withoutStripe = await examineAltered(asItIs, functions, '--no-stripe')
    expect(withoutStripe.wrong).toEqual(['referbase-link_version'])
  })

  test.for([
    ['demands a token', platformSays(401, 'UNAUTHORIZED_NO_AUTH_HEADER'), /verify_jwt = false/],
    ['does not start', platformSays(503, 'BOOT_ERROR'), /secrets set STRIPE_WEBHOOK_SECRET=/],
    ['does not start', platformSays(500, 'WORKER_ERROR'), /secrets set STRIPE_WEBHOOK_SECRET=/],
    ['is older', platformSays(405, 'method_not_allowed'), /functions deploy/],
    [
      'has version 0.0.9',
      Response.json({ function: 'referbase-stripe-webhook', version: '0.0.9', livemode: false }),
      /functions deploy/,
    ],
  ] as const)('%s', async ([message, answer, remedy]) => {
    const name = 'referbase-stripe-webhook'
    const { checked } = await examineAltered(instead(name, () => answer.clone()))
    expect(checked[`${name}_version`]).toMatchObject({
      state: 'wrong',
      message: expect.stringContaining(message),
      remedy: expect.stringMatching(remedy),
    })
  })

  test('takes payments of the other mode', async () => {
    const { checked } = await examine(local, '--live')
    expect(checked.stripe_mode).toMatchObject({
      state: 'wrong',
      remedy: expect.stringContaining('STRIPE_LIVEMODE=true'),
    })
  })
})
