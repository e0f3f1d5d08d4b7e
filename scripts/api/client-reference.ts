/** The text of docs/client.md: the clients' methods, by client and subject, then the functions of links and the types. */
import { introduction } from './client-introduction.ts'
import { type Callable, type Declared, readClientSource, signatureOf } from './client-source.ts'
import { type Reference, returned, typeLine, typesSection } from './client-types.ts'
import type { Face } from './faces.ts'

const clients = [
  { variable: 'referrals', factory: 'createReferralClient', type: 'ReferralClient' },
  { variable: 'staff', factory: 'createStaffClient', type: 'StaffClient' },
  { variable: 'operator', factory: 'createOperatorClient', type: 'OperatorClient' },
]
const linkFunctions = [
  'createReferralLinks',
  'shareUrl',
  'shareText',
  'parseReferralLink',
  'parseInstallReferrer',
]
/** Writes the document from the source of the client and the errors of each RPC. */
export function clientReferenceOf(faces: Face[]): string {
  const source = readClientSource()
  const shown: string[] = []
  const reference = {
    source,
    errors: new Map(faces.map((face) => [face.name, face.errors])),
    shown,
  }
  const sections = [
    ...clients.map((client) => sectionOf(client, reference)),
    linkSection(reference),
  ]
  const everyCall = everyCallError(source)
  const text = [
    introduction.replace('EVERY', listOf(everyCall)),
    contentsOf(sections),
    ...sections.map(({ text }) => text),
    typesSection(reference),
  ]
  return `${text.join('\n\n')}\n`
}

/** The errors that every call can return. */
const everyCallError = (source: Map<string, Declared>) =>
  [...(source.get('AnyCallError')?.text.matchAll(/'(\w+)'/g) ?? [])].map(([, code]) => String(code))

const listOf = (codes: string[]) => codes.map((code) => `\`${code}\``).join(', ')

type Section = { title: string; headings: string[]; text: string }

const anchorOf = (heading: string) => heading.toLowerCase().replace(/[^\w-]/g, '')

function contentsOf(sections: Section[]): string {
  const lines = sections.map(({ title, headings }) => {
    const links = headings.map((heading) => `[${heading.split('.').at(-1)}](#${anchorOf(heading)})`)
    return `- ${title}: ${links.join(', ')}`
  })
  return [...lines, '- [Types](#types)'].join('\n')
}

function sectionOf(
  { variable, factory, type }: (typeof clients)[number],
  reference: Reference,
): Section {
  const { source } = reference
  const client = source.get(type)
  const made = source.get(factory)
  const parts = [...(client?.parts ?? []).flatMap((name) => source.get(name) ?? []), client]
  const titled = parts.flatMap((part) => (part?.methods.length ? [part] : []))
  const texts = titled.flatMap((part) => [
    ...(part.name === type ? [] : [`**${part.doc}**`]),
    ...firstOfEach(part.methods).map((methods) => methodText(variable, methods, reference)),
  ])
  return {
    title: `\`${variable}\``,
    headings: titled.flatMap(({ methods }) =>
      firstOfEach(methods).map(([method]) => `${variable}.${method?.name}`),
    ),
    text: [`## ${variable}`, ...(made ? [functionBody(made, reference)] : []), ...texts].join(
      '\n\n',
    ),
  }
}

/** The forms of a method, together. */
const firstOfEach = (methods: Callable[]) => [...Map.groupBy(methods, ({ name }) => name).values()]

function methodText(variable: string, forms: Callable[], reference: Reference): string {
  const [method, ...others] = forms
  if (!method) return ''
  const [, rpc = '', data = method.returns] =
    /^Call<(?:'(\w+)'|never), (.*)>$/.exec(method.returns) ?? []
  const every = everyCallError(reference.source)
  const errors = (reference.errors.get(rpc) ?? []).filter((code) => !every.includes(code))
  const lines = [
    `- Call: \`${method.call}\``,
    ...others.map(({ call }) => `- Also: \`${call}\``),
    ...typeLine(forms.map(({ call }) => call).join(' '), reference),
    `- Returns: ${returned(data, reference)}`,
    ...(errors.length ? [`- Errors: ${listOf(errors)}`] : []),
    ...(rpc ? [`- RPC: [\`${rpc}\`](api.md#${rpc})`] : []),
  ]
  return [
    `### ${variable}.${method.name}`,
    method.doc,
    lines.join('\n'),
    ...exampleOf(method),
  ].join('\n\n')
}

const exampleOf = ({ example }: { example: string | null }) =>
  example ? [`\`\`\`ts\n${example}\n\`\`\``] : []

function functionBody(made: Declared, reference: Reference): string {
  const { call, returns } = signatureOf(made.text)
  const lines = [
    `- Call: \`${call}\``,
    ...typeLine(call, reference),
    ...(returns && !returns.endsWith('Client')
      ? [`- Returns: ${returned(returns, reference)}`]
      : []),
  ]
  return [made.doc, lines.join('\n'), ...exampleOf(made)].join('\n\n')
}

function linkSection(reference: Reference): Section {
  const functions = linkFunctions.flatMap((name) => reference.source.get(name) ?? [])
  const texts = functions.map((made) => `### ${made.name}\n\n${functionBody(made, reference)}`)
  const lead = 'They need no connection and no session.'
  return {
    title: 'links',
    headings: linkFunctions,
    text: ['## Links', lead, ...texts].join('\n\n'),
  }
}
