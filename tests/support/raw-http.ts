/** Requests as bytes, which no client library has put right. */
import { connect } from 'node:net'

/** What came back: the status (0 where the connection was closed without an answer), header lines, and the rest. */
export type RawAnswer = { status: number; headers: [name: string, value: string][]; rest: string }

/** Sends a request line’s target and header lines as they are, and reads until the connection closes. */
export function sendRaw(
  port: number,
  { method = 'GET', target, headers = [] }: RawRequest,
): Promise<RawAnswer> {
  const lines = [`${method} ${target} HTTP/1.1`, ...headers, 'Connection: close', '', '']
  const host = headers.some((line) => /^host:/i.test(line)) ? [] : ['Host: go.example.org']
  lines.splice(1, 0, ...host)
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    const socket = connect(port, '127.0.0.1', () => socket.write(lines.join('\r\n'), 'latin1'))
    socket.on('data', (chunk) => chunks.push(chunk))
    // A server may close before it has read everything: what it said counts.
    socket.on('error', () => {})
    socket.on('close', () => resolve(parse(Buffer.concat(chunks).toString('latin1'))))
  })
}

export type RawRequest = { method?: string; target: string; headers?: string[] }

function parse(text: string): RawAnswer {
  const [head = '', ...rest] = text.split('\r\n\r\n')
  const [first = '', ...lines] = head.split('\r\n')
  const headers = lines.map((line): [string, string] => {
    const at = line.indexOf(':')
    return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()]
  })
  return { status: Number(first.split(' ')[1] ?? 0), headers, rest: rest.join('\r\n\r\n') }
}
