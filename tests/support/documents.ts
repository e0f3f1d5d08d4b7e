/** The documents of the project, and what can be checked in any of them: commands and links. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { root } from '../../scripts/stack/root.ts'
import { blocksOf } from './blocks.ts'

const inDocs = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))

/** The paths of all documents, README first. */
export const documents = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...inDocs.map((name) => `docs/${name}`),
]

export const textOf = (document: string) => readFileSync(join(root, document), 'utf8')

/** A command of a document, without the variables that stand before it. */
export type Command = { document: string; text: string; words: string[] }

/** The words of a command from the program on, without `npx` and its options. */
export function calledBy({ words }: Command): string[] {
  if (words[0] !== 'npx') return words
  return words.slice(words.findIndex((word, place) => place > 0 && !word.startsWith('-')))
}

/** Inline code that is a command: a program that a reader starts, and its arguments. */
const inline = /`((?:npm|npx|node|supabase|stripe|docker|referbase) [^`\n]+)`/g

/** Every command of the shell blocks and of the inline code of a document. */
export function commandsOf(document: string): Command[] {
  const blocks = blocksOf(join(root, document))
  const shell = blocks.filter(({ language }) => ['sh', 'bash', 'shell'].includes(language))
  const lines = shell.flatMap(({ text }) => text.replaceAll('\\\n', ' ').split('\n'))
  const prose = textOf(document).replace(/^```[\s\S]*?^```/gm, '')
  const told = [...prose.matchAll(inline)].map(([, text]) => String(text))
  return [...lines, ...told].flatMap(commandsIn).map((text) => ({
    document,
    text,
    words: text.split(/\s+/),
  }))
}

/** The commands of a line, those in `$(…)` too, without its comment. What stands in quotes is no command. */
function commandsIn(line: string): string[] {
  const plain = line.replace(/'[^']*'|"[^"]*"/g, "'…'").replace(/(^|\s)#.*$/, '')
  const inner = [...plain.matchAll(/\$\(([^)]*)\)/g)].map(([, command]) => String(command))
  return [...plain.replace(/\$\([^)]*\)/g, '…').split(/\s*(?:&&|\|\||;|\|)\s*/), ...inner]
    .map((part) => part.trim().replace(/^(?:[A-Z_]+=\S*\s+)+/, ''))
    .filter((part) => part !== '')
}

/** The links of a document that lead into the repository, as path and anchor. */
export function linksOf(document: string): { link: string; path: string; anchor: string }[] {
  const prose = textOf(document).replace(/^```[\s\S]*?^```/gm, '')
  return [...prose.matchAll(/\]\((?![a-z]+:)([^)\s]+)\)/g)].map(([, link = '']) => {
    const [file = '', anchor = ''] = link.split('#')
    const path = file ? normalize(join(dirname(document), file)) : document
    return { link, path, anchor }
  })
}

/** The anchors of a document's headings, as GitHub makes them. */
export function anchorsOf(document: string): string[] {
  const seen = new Map<string, number>()
  const prose = textOf(document).replace(/^```[\s\S]*?^```/gm, '')
  return [...prose.matchAll(/^#{1,6} (.*)$/gm)].map(([, heading = '']) => {
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const slug = plain.replace(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(' ', '-')
    const count = seen.get(slug) ?? 0
    seen.set(slug, count + 1)
    return count ? `${slug}-${count}` : slug
  })
}
