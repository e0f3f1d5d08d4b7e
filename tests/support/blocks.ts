import { readFileSync } from 'node:fs'

export type Block = { language: string; name: string | undefined; text: string }

/** The code blocks of a document, in order; `name` is the file that a first line like `// referral.ts` says. */
export function blocksOf(file: string): Block[] {
  const blocks = readFileSync(file, 'utf8').matchAll(/^```(\w+)\n([\s\S]*?)^```/gm)
  return [...blocks].map(([, language = '', text = '']) => ({
    language,
    name: /^\/\/ (\S+)\n/.exec(text)?.[1],
    text,
  }))
}
