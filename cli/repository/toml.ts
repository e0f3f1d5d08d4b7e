/** Edits of a TOML file at the ranges that a parser found, so that comments, order and line endings stay. */
import { type AST, parseTOML } from 'toml-eslint-parser'

type Path = readonly (string | number)[]
type Range = readonly [number, number]
/** A key with its value, or the header of a table, and the whole path that it defines. */
type Entry = { path: Path; base: Path; node: AST.TOMLKeyValue | AST.TOMLTable }

/** Sets a value, given as TOML. A table that does not exist yet is appended. */
export function setValue(text: string, path: readonly string[], value: string): string {
  const entries = entriesOf(text)
  const own = keyAt(entries, path)
  if (own) return replace(text, own.value.range, value)

  const line = (base: Path) => `${path.slice(base.length).map(bare).join('.')} = ${value}`
  for (let length = path.length - 1; length > 0; length--) {
    const base = path.slice(0, length)
    const holder = keyAt(entries, base)?.value
    if (holder?.type !== 'TOMLInlineTable') continue
    const last = holder.body.at(-1)
    return last
      ? replace(text, [last.range[1], last.range[1]], `, ${line(base)}`)
      : replace(text, holder.range, `{ ${line(base)} }`)
  }

  const parent = path.slice(0, -1)
  const table = entries.find(({ path, node }) => node.type === 'TOMLTable' && equal(path, parent))
  if (table?.node.type === 'TOMLTable') {
    return addLine(text, table.node.body.at(-1) ?? table.node.key, line(parent))
  }
  const sibling = dottedSibling(entries, path)
  if (sibling) return addLine(text, sibling.node, line(sibling.base))

  const end = newline(text)
  const gap = text === '' ? '' : text.endsWith('\n') ? end : end + end
  return `${text}${gap}[${parent.map(bare).join('.')}]${end}${line(parent)}${end}`
}

/** Removes a key or a table with all that is in it. */
export function removeValue(text: string, path: readonly string[]): string {
  const found = entriesOf(text).find((entry) => startsWith(entry.path, path))
  if (!found) return text
  const { node } = found
  if (node.type === 'TOMLTable') {
    const [start, end] = lines(text, [node.range[0], (node.body.at(-1) ?? node.key).range[1]])
    const blank = /(?<=\n)[ \t]*\r?\n$/.exec(text.slice(0, start))?.[0].length ?? 0
    return removeValue(replace(text, [start - blank, end], ''), path)
  }
  const siblings = node.parent.type === 'TOMLInlineTable' ? node.parent.body : undefined
  const range = siblings ? withComma(siblings, node) : lines(text, node.range)
  return removeValue(replace(text, range, ''), path)
}

/** Adds a text to an array of texts: on a line of its own if the last element has one. */
export function appendElement(text: string, path: readonly string[], element: string): string {
  const array = keyAt(entriesOf(text), path)?.value
  if (array?.type !== 'TOMLArray') return text
  const last = array.elements.at(-1)
  if (!last) {
    const open = array.range[0] + 1
    return replace(text, [open, open], JSON.stringify(element))
  }
  const [start, end] = lines(text, last.range)
  const own = text.slice(start, last.range[0])
  if (own.trim() !== '' || array.range[1] <= end) {
    return replace(text, [last.range[1], last.range[1]], `, ${JSON.stringify(element)}`)
  }
  const comma = /^[ \t]*,/.test(text.slice(last.range[1]))
  const added = `${own}${JSON.stringify(element)}${comma ? ',' : ''}${newline(text)}`
  const whole = replace(text, [end, end], added)
  return comma ? whole : replace(whole, [last.range[1], last.range[1]], ',')
}

/** Removes a text from an array of texts, with its line if it has one of its own. */
export function removeElement(text: string, path: readonly string[], element: string): string {
  const array = keyAt(entriesOf(text), path)?.value
  if (array?.type !== 'TOMLArray') return text
  const found = array.elements.find((node) => node.type === 'TOMLValue' && node.value === element)
  if (!found) return text
  const [start, end] = lines(text, found.range)
  const alone = /^\s*,?\s*$/.test(
    text.slice(start, found.range[0]) + text.slice(found.range[1], end),
  )
  const range: Range | undefined = alone && array.elements.length > 1 ? [start, end] : undefined
  return replace(text, range ?? withComma(array.elements, found), '')
}

function entriesOf(text: string): Entry[] {
  const flat = (body: (AST.TOMLKeyValue | AST.TOMLTable)[], base: Path): Entry[] =>
    body.flatMap((node): Entry[] => {
      if (node.type === 'TOMLTable') {
        return [{ path: node.resolvedKey, base, node }, ...flat(node.body, node.resolvedKey)]
      }
      const names = node.key.keys.map((key) => (key.type === 'TOMLBare' ? key.name : key.value))
      const path = [...base, ...names]
      const inner = node.value.type === 'TOMLInlineTable' ? flat(node.value.body, path) : []
      return [{ path, base, node }, ...inner]
    })
  return flat(parseTOML(text).body[0].body, [])
}

function keyAt(entries: Entry[], wanted: Path): AST.TOMLKeyValue | undefined {
  const nodes = entries.filter(({ path }) => equal(path, wanted)).map(({ node }) => node)
  return nodes.find((node) => node.type === 'TOMLKeyValue')
}

/** A dotted key that defines a table of the path, such as `functions.hello.verify_jwt` at the top. */
function dottedSibling(entries: Entry[], path: Path): Entry | undefined {
  const shared = (entry: Entry) => path.findIndex((name, i) => entry.path[i] !== name)
  return entries
    .filter(({ node }) => node.type === 'TOMLKeyValue')
    .filter((entry) => startsWith(path, entry.base) && shared(entry) > entry.base.length)
    .toSorted((a, b) => shared(b) - shared(a))[0]
}

function addLine(text: string, after: { range: Range }, line: string): string {
  const [start, end] = lines(text, after.range)
  const indent = /^[ \t]*/.exec(text.slice(start))?.[0] ?? ''
  const before = end > 0 && text[end - 1] !== '\n' ? newline(text) : ''
  return replace(text, [end, end], `${before}${indent}${line}${newline(text)}`)
}

/** A range with the comma after it, or before it for the last one. */
function withComma(siblings: { range: Range }[], node: { range: Range }): Range {
  const place = siblings.indexOf(node)
  const [previous, next] = [siblings[place - 1], siblings[place + 1]]
  if (next) return [node.range[0], next.range[0]]
  return previous ? [previous.range[1], node.range[1]] : node.range
}

/** From the start of the first line to the start of the line after the last one. */
function lines(text: string, [start, end]: Range): Range {
  const next = text.indexOf('\n', end)
  return [text.lastIndexOf('\n', start - 1) + 1, next < 0 ? text.length : next + 1]
}

const replace = (text: string, [start, end]: Range, by: string) =>
  text.slice(0, start) + by + text.slice(end)
const newline = (text: string) => (/\r?\n/.exec(text)?.[0] === '\r\n' ? '\r\n' : '\n')
const bare = (name: string | number) =>
  /^[\w-]+$/.test(String(name)) ? String(name) : JSON.stringify(name)
const startsWith = (path: Path, prefix: Path) => prefix.every((name, i) => path[i] === name)
const equal = (a: Path, b: Path) => a.length === b.length && startsWith(a, b)
