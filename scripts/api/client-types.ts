/** The types in docs/client.md: links to them, and the section that shows them. */
import type { Declared } from './client-source.ts'

export type Reference = {
  source: Map<string, Declared>
  /** By RPC. */
  errors: Map<string, string[]>
  /** The types that are named so far. */
  shown: string[]
}

/** Types that are explained in the text, and not listed. */
const explained = [
  'Result',
  'Call',
  'AnySupabaseClient',
  'ReferralClient',
  'StaffClient',
  'OperatorClient',
]

/** A link for each of our types that a text names. */
export function typeLine(text: string, reference: Reference): string[] {
  const names = [...new Set(text.match(/\b[A-Z]\w+/g))].filter(
    (name) => reference.source.has(name) && !explained.includes(name),
  )
  return names.length ? [`- Types: ${names.map((name) => linkTo(name, reference)).join(', ')}`] : []
}

/** A type of the database leads to docs/api.md, any other to the end of the page. */
function linkTo(name: string, { source, shown }: Reference): string {
  const { text = '' } = source.get(name) ?? {}
  const [, row] = /\b(?:Tables'\]\['|Composite<')(\w+)'/.exec(text) ?? []
  if (row) return `[\`${name}\`](api.md#referral${row})`
  if (!shown.includes(name)) shown.push(name)
  return `[\`${name}\`](#${name.toLowerCase()})`
}

/** What a call returns. */
export function returned(type: string, reference: Reference): string {
  const [, name = ''] = /^(\w+)(?:\[\]| \| null)?$/.exec(type) ?? []
  if (!reference.source.has(name) || explained.includes(name)) return `\`${type}\``
  const link = linkTo(name, reference)
  if (type.endsWith('[]')) return `rows of ${link}`
  return type.endsWith('| null') ? `${link}, or null` : link
}

/** The types that the page names, as they are declared, and those that these name. */
export function typesSection(reference: Reference): string {
  const texts: string[] = []
  for (const name of reference.shown) {
    const type = reference.source.get(name)
    if (!type) continue
    const others = typeLine(type.text.replace(`type ${name}`, ''), reference)
    const [also = ''] = others.map((line) => `\n\n${line}`)
    texts.push(
      `### ${name}\n\n${type.doc}\n\n\`\`\`ts\n// ${type.file}\n${type.text}\n\`\`\`${also}`,
    )
  }
  return ['## Types', ...texts].join('\n\n')
}
