/** The TypeScript examples of a document, run as one program with values for the names that they use. */
import { blocksOf } from './blocks.ts'

/** The names that a program uses, and their values. */
type Values = Record<string, unknown>

/** What `console.log` in the examples should print by their comments, in order. */
export const promisedBy = (program: string) =>
  [...program.matchAll(/^ *console\.log\(.*\) \/\/ (.*)$/gm)].map(([, text]) => text)

/** The examples of a document as one program. */
export const programOf = (file: string) =>
  blocksOf(file)
    .filter(({ language }) => language === 'ts')
    .map(({ text }) => text)
    .join('\n')

/** Runs a program without type annotations, and gives what it prints. */
export async function printedBy(program: string, values: Values): Promise<string[]> {
  const printed: string[] = []
  const console = { log: (...parts: unknown[]) => printed.push(parts.map(String).join(' ')) }
  const AsyncFunction = (async () => undefined).constructor as new (
    ...parts: string[]
  ) => (...given: unknown[]) => Promise<void>
  const run = new AsyncFunction('console', ...Object.keys(values), program)
  await run(console, ...Object.values(values))
  return printed
}
