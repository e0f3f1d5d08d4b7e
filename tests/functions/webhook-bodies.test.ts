/** Bodies of deliveries: up to 1 MiB, compressed, in other encodings, and cut off on the way. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { stackDatabase } from '../support/http.ts'
import { until } from '../support/processes.ts'
import { taken } from '../support/taken.ts'
import { deliverBody, signatureOf, startWebhook } from '../support/webhook.ts'

const sql = stackDatabase()
const { url, port, log, logOf, stop } = await startWebhook()
afterAll(stop)
const limit = 1024 * 1024

const statusOf = async (id: string) => {
  const [row] = await sql`select status from referral_private.stripe_events where event_id = ${id}`
  return row?.status
}

/** An event of exactly this many bytes, most of them in the metadata. */
function eventOf(bytes: number, filler = 'x') {
  const event = paidInvoice()
  const size = () => new TextEncoder().encode(JSON.stringify(event)).length
  event.data.object.metadata = { note: '' }
  const room = bytes - size()
  const each = new TextEncoder().encode(filler).length
  event.data.object.metadata = {
    note: filler.repeat(Math.floor(room / each)) + 'x'.repeat(room % each),
  }
  expect(size()).toBe(bytes)
  return event
}

describe('a body', () => {
  test.for([
    ['256 KiB and a byte', 256 * 1024 + 1],
    ['300 KiB', 300 * 1024],
    ['1 MiB less a byte', limit - 1],
    ['1 MiB', limit],
  ] as const)('of %s is taken', async ([, bytes]) => {
    const event = eventOf(bytes)
    const body = JSON.stringify(event)
    expect(await deliverBody(url, body)).toMatchObject({ http: 200, status: taken })
    expect(await statusOf(event.id)).toBe('applied')
  })

  test('of 1 MiB is measured in bytes, not in characters', async () => {
    const body = JSON.stringify(eventOf(limit, '🎉'))
    expect(body.length).toBeLessThan(limit * 0.6)
    expect(await deliverBody(url, body)).toMatchObject({ http: 200, status: taken })
    const larger = JSON.stringify(eventOf(limit + 1, '🎉'))
    expect(await deliverBody(url, larger)).toMatchObject({ http: 413 })
  })

  test.for([
    ['1 MiB and a byte', limit + 1],
    ['1.9 MiB', 1.9 * limit],
  ] as const)('of %s is refused with body_too_large, and stores nothing', async ([, bytes]) => {
    const event = eventOf(Math.floor(bytes))
    const body = JSON.stringify(event)
    expect(await deliverBody(url, body)).toMatchObject({ http: 413, code: 'body_too_large' })
    expect(await statusOf(event.id)).toBeUndefined()
  })

  test('without a length, in chunks, is read to its end', async () => {
    const event = eventOf(300 * 1024)
    const bytes = new TextEncoder().encode(JSON.stringify(event))
    let sent = 0
    const body = new ReadableStream({
      pull(stream) {
        if (sent >= bytes.length) return stream.close()
        stream.enqueue(bytes.subarray(sent, sent + 10_000))
        sent += 10_000
      },
    })
    const headers = { 'stripe-signature': await signatureOf(bytes) }
    const init = { method: 'POST', body, headers, duplex: 'half' } as RequestInit
    expect((await fetch(url, init)).status).toBe(200)
    expect(await statusOf(event.id)).toBe('applied')
  })
})

describe('a body in another encoding', () => {
  const body = JSON.stringify(paidInvoice())

  test('by gzip, which Stripe does not use, is refused', async () => {
    const bytes = new Uint8Array(gzipSync(body))
    const headers = { 'content-encoding': 'gzip' }
    for (const signature of [await signatureOf(bytes), await signatureOf(body)])
      expect(await deliverBody(url, bytes, { headers, signature })).toMatchObject({ http: 400 })
  })

  test.for([
    ['UTF-16', (text: string) => new Uint8Array(Buffer.from(text, 'utf16le'))],
    ['Latin-1', (text: string) => new Uint8Array(Buffer.from(text.replace('A ', 'É '), 'latin1'))],
  ] as const)('by %s is refused', async ([, encode]) => {
    expect(await deliverBody(url, encode(body))).toMatchObject({ http: 400 })
  })
})

describe('an upload that is cut off', () => {
  const head = (lines: string[]) =>
    ['POST /referbase-stripe-webhook HTTP/1.1', 'Host: localhost', ...lines, '', ''].join('\r\n')
  const cutLine = 'a delivery was cut off before its body ended\n'

  /** What is logged of an upload that is cut off. */
  const logged = (cut: () => Promise<unknown>) => {
    const before = log().length
    return logOf(async () => {
      await cut()
      await until(() => log().slice(before).includes(cutLine))
    })
  }

  test.for([
    ['after half of its body', ['Content-Length: 1000'], '{"id":"evt_private'],
    ['before its body', ['Content-Length: 1000'], ''],
    ['in the middle of a chunk', ['Transfer-Encoding: chunked'], '64\r\n{"id":"evt_private'],
    ['between two chunks', ['Transfer-Encoding: chunked'], '5\r\n{"id"\r\n'],
  ] as const)('%s writes one plain line', async ([, lines, part]) => {
    const text = await logged(async () => {
      const socket = connect(port, '127.0.0.1')
      await once(socket, 'connect')
      socket.write(head([...lines]) + part)
      await new Promise((resolve) => socket.write('', resolve))
      socket.destroy()
      await once(socket, 'close')
    })
    expect(text).toBe(cutLine)
  })

  test('by a reset writes one plain line', async () => {
    const text = await logged(async () => {
      const socket = connect(port, '127.0.0.1')
      await once(socket, 'connect')
      socket.write(`${head(['Content-Length: 1000'])}{"id":"evt_private`)
      socket.resetAndDestroy()
    })
    expect(text).toBe(cutLine)
  })

  test('by the sender, who still listens, is answered with body_incomplete', async () => {
    const socket = connect(port, '127.0.0.1')
    const chunks: Buffer[] = []
    socket.on('data', (chunk) => chunks.push(chunk))
    await once(socket, 'connect')
    const text = await logged(async () => {
      socket.end(`${head(['Content-Length: 1000'])}{"id":"evt_private`)
      await once(socket, 'close')
    })
    expect(text).toBe(cutLine)
    expect(Buffer.concat(chunks).toString()).toContain('body_incomplete')
  })
})
