import { describe, expect, test } from 'vitest'
import { personOverHttp } from '../support/http.ts'
import { anyAddress, linkHandler, linkScene } from '../support/link.ts'
import { readQr } from '../support/qr.ts'

const origin = `https://qr-${crypto.randomUUID()}.example.org`
const scenes = { shared: await linkScene(), own: await linkScene({ link_origin: origin }) }
const { code, operator, org, name } = scenes.shared
const { ask } = linkHandler()

describe('a QR code', () => {
  test.for([
    ['qr.svg', '', 320],
    ['qr.png', '', 320],
    ['qr.svg', '?size=1024&margin=0', 1024],
    ['qr.png', '?size=1024&margin=0', 1024],
    ['qr.png', '?size=256&margin=16', 256],
    ['qr.svg', '?size=300&margin=4', 300],
    ['qr.png', '?size=777&margin=2', 777],
  ] as const)('%s%s says the share URL, %i pixels wide', async ([part, query, pixels]) => {
    const shared = await readQr(await ask(`/link/${code}/${part}${query}`))
    const url = `https://project.example.co/functions/v1/link/${code}?via=qr`
    expect(shared).toEqual({ text: url, width: pixels, height: pixels })
    const own = await readQr(await ask(`/link/${scenes.own.code}/${part}${query}`))
    expect(own.text).toBe(`${origin}/link/${scenes.own.code}?via=qr`)
  })

  test.for(['referbase-link', 'link', 'Invite_2'])(
    'of a function that is deployed as %s says its name, where the organisation has no link host',
    async (slug) => {
      const shared = await readQr(await ask(`/${slug}/${code}/qr.svg`))
      expect(shared.text).toBe(`https://project.example.co/functions/v1/${slug}/${code}?via=qr`)
      const own = await readQr(await ask(`/${slug}/${scenes.own.code}/qr.svg`))
      expect(own.text).toBe(`${origin}/link/${scenes.own.code}?via=qr`)
    },
  )

  test('of a chosen code, asked for in another spelling, says the code as it is shown', async () => {
    const chosen = `Fair ${Math.floor(Math.random() * 1e9)}`
    await operator.rpc('create_campaign_code', { org_id: org, code: chosen }).throwOnError()
    const { text } = await readQr(await ask(`/link/${encodeURIComponent(chosen)}/qr.png`))
    expect(text).toMatch(/\/link\/FAIR-\d+\?via=qr$/)
  })

  test('may be kept for a day, is nothing but an image, and any page may read it', async () => {
    const response = await ask(`/link/${code}/qr.svg`)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'image/svg+xml',
      'cache-control': 'public, max-age=86400',
      'x-content-type-options': 'nosniff',
      'access-control-allow-origin': '*',
      'x-robots-tag': 'noindex',
    })
  })

  test.for([
    ...['size=255', 'size=1025', 'size=1e3', 'size=-300', 'size=', 'size=300.5', 'size=0x140'],
    ...['margin=17', 'margin=-1', 'margin=four', 'size=NaN', 'size=99999999999999999999'],
  ])('is refused for %s with invalid_qr_settings', async (query) => {
    const response = await ask(`/link/${code}/qr.png?${query}`)
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ code: 'invalid_qr_settings' })
  })

  test('is drawn 60 times a minute for one network, then rate_limited', async () => {
    const headers = { 'cf-connecting-ip': anyAddress() }
    const answers = []
    for (let n = 0; n < 61; n++) answers.push(await ask(`/link/${code}/qr.svg`, headers))
    expect(answers.map(({ status }) => status)).toEqual([...Array(60).fill(200), 429])
    expect(answers.at(-1)?.headers.get('retry-after')).toBe('60')
  })
})

describe('the context of a link', () => {
  test('is code, organisation and program, and the referrer only where they agreed', async () => {
    const [agreed, silent] = [await personOverHttp(), await personOverHttp()]
    for (const { id, supabase } of [agreed, silent]) {
      await operator.rpc('add_member', { org_id: org, user_id: id }).throwOnError()
      const isPublic = id === agreed.id
      await supabase
        .rpc('set_my_name', { org_id: org, display_name: 'Ana', public_name: isPublic })
        .throwOnError()
    }
    for (const { id, supabase } of [agreed, silent]) {
      const { data } = await supabase.rpc('create_code', { org_id: org }).throwOnError()
      const response = await ask(`/link/${data.code}/context`)
      const referrer = id === agreed.id ? 'Ana' : null
      const shown = { code: data.code, organisation: name, program: 'Friends', referrer }
      expect(await response.json()).toEqual(shown)
    }
  })

  test('may be kept for a minute, by any page', async () => {
    const response = await ask(`/link/${code}/context`)
    expect(response.headers.get('cache-control')).toBe('public, max-age=60')
    expect(response.headers.get('access-control-allow-origin')).toBe('*')
  })
})

test.for(['context', 'qr.svg', 'qr.png'])(
  '%s is one and the same answer for every code that cannot be redeemed',
  async (part) => {
    const make = async (end: (id: string) => PromiseLike<unknown>) => {
      const { data } = await operator.rpc('create_campaign_code', { org_id: org }).throwOnError()
      await end(data.id)
      return data.code
    }
    const dead = [
      await make((id) => operator.rpc('suspend_code', { code_id: id }).throwOnError()),
      await make((id) => operator.rpc('end_code', { code_id: id }).throwOnError()),
      ...['UNKNOWN', '%00', '%ff', '%F0%9F%8E%89', 'A'.repeat(300)],
    ]
    const answers = await Promise.all(dead.map((text) => ask(`/link/${text}/${part}`)))
    const seen = await Promise.all(
      answers.map(async (answer) => [answer.status, [...answer.headers], await answer.json()]),
    )
    for (const one of seen) expect(one).toEqual(seen[0])
    expect(seen[0]?.[0]).toBe(404)
  },
)

test.for(['context', 'qr.svg', 'qr.png'])(
  'a browser is told that any page may ask for %s',
  async (part) => {
    const response = await ask(`/link/${code}/${part}`, {}, { method: 'OPTIONS' })
    expect(response.status).toBe(204)
    expect(response.headers.get('access-control-allow-origin')).toBe('*')
    expect(response.headers.get('access-control-allow-methods')).toBe('GET, HEAD')
  },
)
