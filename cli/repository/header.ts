/** The first line of each file that we write into an adopter's repository: by it a file is recognised, never by its name. */
import { createHash } from 'node:crypto'

export type Header = {
  version: string
  /** Of a migration that no release has. */
  preview: boolean
  /** The packed file's name, or what the file is for. */
  name: string
  /** Of the text after the line, as it was written. */
  hash: string
  /** The text has another hash by now. */
  changed: boolean
}

type Comment = '--' | '//'

/** Puts the line before a text. */
export function withHeader(
  comment: Comment,
  { version, preview = false, name }: { version: string; preview?: boolean; name: string },
  text: string,
): string {
  const title = `referbase ${version}${preview ? ' preview' : ''}`
  return `${comment} ${title}, ${name}, sha256 ${hashOf(text)}\n${text}`
}

/** Reads the line; undefined for a file that is not ours. */
export function readHeader(comment: Comment, text: string): Header | undefined {
  const [line = ''] = text.split('\n', 1)
  const found = /^(--|\/\/) referbase (\S+?)( preview)?, (\S+), sha256 ([0-9a-f]{64})\r?$/.exec(
    line,
  )
  const [, marker, version, preview, name, hash] = found ?? []
  if (marker !== comment || !version || !name || !hash) return undefined
  const changed = hashOf(text.slice(line.length + 1)) !== hash
  return { version, preview: preview !== undefined, name, hash, changed }
}

/** The headers of a migration: two where it drops a preview and makes the newer one. */
export function readHeaders(text: string): Header[] {
  const first = readHeader('--', text)
  if (first?.name !== 'replaced') return first ? [first] : []
  const start = text.indexOf('\n-- referbase ') + 1
  const next = start > 0 ? readHeader('--', text.slice(start)) : undefined
  return next ? [first, next] : [first]
}

/** The hash of a text, whose line endings a checkout may have changed. */
export const hashOf = (text: string): string =>
  createHash('sha256').update(text.replaceAll('\r\n', '\n')).digest('hex')
