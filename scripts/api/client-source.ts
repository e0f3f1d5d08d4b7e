/** The client as its source declares it: what is exported, and its comments. `deno doc` parses it. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../stack/root.ts'

/** A method or a function. `call` is its name and arguments, `returns` the type after them; both as they are written. */
export type Callable = {
  name: string
  doc: string
  example: string | null
  call: string
  returns: string
}

export type Declared = {
  name: string
  file: string
  doc: string
  example: string | null
  /** The source, with the comments inside. */
  text: string
  methods: Callable[]
  /** The types that an intersection is made of. */
  parts: string[]
}

type JsDoc = { doc?: string; tags?: { kind: string; doc?: string }[] }
type Node = { name: string; jsDoc?: JsDoc; location: { filename: string; byteIndex: number } }
type TsType = {
  kind: string
  repr?: string
  value: TsType[] & { methods?: Node[]; typeName?: string }
}
type Symbol = {
  name: string
  declarations: (Node & { kind: string; def: { tsType?: TsType } })[]
}

/** Every type and function of client/*.ts, by its name. */
export function readClientSource(): Map<string, Declared> {
  const files = readdirSync(join(root, 'client')).filter((name) => /^[a-z-]+\.ts$/.test(name))
  const deno = join(root, 'node_modules/deno/deno')
  const options = ['--json', '--private', '--no-lock', '--quiet']
  const json = execFileSync(deno, ['doc', ...options, ...files.map((name) => `client/${name}`)], {
    cwd: root,
    env: { ...process.env, DENO_NO_UPDATE_CHECK: '1' },
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  })
  const { nodes }: { nodes: Record<string, { symbols?: Symbol[] }> } = JSON.parse(json)
  const symbols = Object.values(nodes).flatMap(({ symbols = [] }) => symbols)
  const declared = symbols.flatMap(({ name, declarations }) =>
    declarations
      .filter(({ kind }) => kind !== 'reference')
      .map((one) => declaredBy({ ...one, name })),
  )
  return new Map(declared.map((one) => [one.name, one]))
}

function declaredBy(node: Symbol['declarations'][number]): Declared {
  const types = node.kind === 'typeAlias' && node.def.tsType ? membersOf(node.def.tsType) : []
  return {
    name: node.name,
    file: node.location.filename.replace(/^.*\/client\//, 'client/'),
    ...commentOf(node),
    text: node.kind === 'function' ? headOf(sourceOf(node)) : wholeOf(sourceOf(node), /\n\n/),
    methods: types.flatMap(({ value }) => value.methods ?? []).map(callableOf),
    parts: types.flatMap(({ value }) => value.typeName ?? []),
  }
}

const membersOf = (type: TsType) => (type.kind === 'intersection' ? [...type.value] : [type])

function callableOf(node: Node): Callable {
  return { name: node.name, ...commentOf(node), ...signatureOf(wholeOf(sourceOf(node), /\n/)) }
}

function commentOf({ jsDoc = {} }: Node) {
  const example = jsDoc.tags?.find(({ kind }) => kind === 'example')?.doc?.trim() ?? null
  return { doc: (jsDoc.doc ?? '').trim().replace(/([^\n])\n(?!\n)/g, '$1 '), example }
}

const sources = new Map<string, Buffer>()

/** The source from a declaration to the end of its file. */
function sourceOf({ location: { filename, byteIndex } }: Node): string {
  const source = sources.get(filename) ?? readFileSync(new URL(filename))
  sources.set(filename, source)
  return source.subarray(byteIndex).toString('utf8')
}

/** The text up to the first `end` that is in no brackets. */
function wholeOf(source: string, end: RegExp): string {
  let depth = 0
  for (const match of source.matchAll(/=>|\/\*\*[\s\S]*?\*\/|\/\/.*|[([{<>}\])]|\n+/g)) {
    const [token] = match
    if (/^[([{<]$/.test(token)) depth += 1
    else if (/^[>}\])]$/.test(token)) depth -= 1
    else if (depth === 0 && token.startsWith('\n') && end.test(token))
      return source.slice(0, match.index)
  }
  return source.trimEnd()
}

/** The head of a function, without its body. */
function headOf(source: string): string {
  const end = endOfArguments(source)
  return source.slice(0, end) + (source.slice(end).split(/ \{\n/, 1)[0] ?? '')
}

/** Where the first round brackets end. */
function endOfArguments(text: string): number {
  let depth = 0
  for (const { 0: token, index } of text.matchAll(/[()]/g)) {
    depth += token === '(' ? 1 : -1
    if (depth === 0) return index + 1
  }
  return text.length
}

/** Splits `name(arguments): type`, on one line. */
export function signatureOf(text: string): { call: string; returns: string } {
  const line = text
    .replace(/^export (async )?function /, '')
    .replace(/(?<=[^{(<,|&])\n\s*(?=\w+\??:)/g, '; ')
    .replace(/\s+/g, ' ')
    .replace(/([([<]) /g, '$1')
    .replace(/,? ([)\]])/g, '$1')
    .replace(/ >(?!=)/g, '>')
    .replace(/, }/g, ' }')
  const end = endOfArguments(line)
  return { call: line.slice(0, end), returns: line.slice(end).replace(/^: /, '') }
}
