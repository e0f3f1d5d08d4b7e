/** What the documents say of `referbase`: each command and option is one of the program, and none is fetched from npm. */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { programOf } from '../../cli/program.ts'
import { root } from '../../scripts/stack/root.ts'
import { type Command, calledBy, commandsOf, documents } from '../support/documents.ts'

/** Without the decisions, which say what was refused. */
const instructions = documents.filter((document) => document !== 'docs/decisions.md')
/** Each once, by its text. */
const told = new Map(
  instructions
    .flatMap(commandsOf)
    .filter((command) => calledBy(command)[0] === 'referbase')
    .map((command) => [command.text, command]),
)

/** What the words say: the command, the options that are not its own, those that are, and its arguments. */
function read(command: Command) {
  const program = programOf()
  const read = {
    found: program,
    unknown: [] as string[],
    options: [] as string[],
    operands: [] as string[],
  }
  const words = calledBy(command).slice(1)
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    const below = read.found.commands.find((candidate) => candidate.name() === word)
    if (below) read.found = below
    else if (!word.startsWith('--')) read.operands.push(word)
    else {
      const [name, value] = word.split('=')
      const known = [...read.found.options, ...program.options].find(({ long }) => long === name)
      read[known || name === '--help' ? 'options' : 'unknown'].push(String(name))
      if (known?.required && value === undefined) words.shift()
    }
  }
  return read
}

describe('a command of the documents', () => {
  test('is there several times', () => {
    expect(told.size).toBeGreaterThan(5)
  })

  test.each([...told])('%s', (_, command) => {
    const { found, unknown, options, operands } = read(command)
    const below = found.commands.map((candidate) => candidate.name())
    expect(below, 'one of these is missing').toEqual([])
    expect(unknown, 'unknown options').toEqual([])
    // Without npx the text names the command, and does not call it.
    if (command.words[0] !== 'npx') return
    const needed = found.registeredArguments.filter(({ required }) => required)
    expect(operands.length).toBeGreaterThanOrEqual(needed.length)
    expect(operands.length).toBeLessThanOrEqual(found.registeredArguments.length)
    const mandatory = found.options.filter((option) => option.mandatory)
    expect(mandatory.filter(({ long }) => !options.includes(String(long)))).toEqual([])
  })
})

/** Ways to have npm fetch the package by its name, which is nobody's at the registry. */
const fetched = [
  /\bnpx +(?:-(?!-no-install\b|-package=)\S+ +)*referbase(?![\w-])/,
  /\bnpm +(?:install|i|add|exec|x|create) +(?:-\S+ +)*referbase(?![\w-])/,
  /\bnpm:referbase(?![\w-])/,
  /--package=(?!\S*\.tgz)\S*referbase(?![\w-])/,
]

test.for([
  ['npx referbase init', true],
  ['npx --yes referbase init', true],
  ['npm install referbase', true],
  ['npm i --save-dev referbase@0.2.0', true],
  ["import 'npm:referbase@0.2.0'", true],
  ['npx --package=referbase referbase init', true],
  ['npx --no-install referbase init', false],
  ['npx --package=./referbase-0.2.0.tgz referbase init', false],
  ['npm install --save-dev ./referbase-0.2.0.tgz', false],
  ['npx supabase functions deploy referbase-link', false],
] as const)('%s would fetch the package by its name: %s', ([text, would]) => {
  expect(fetched.some((form) => form.test(text))).toBe(would)
})

test('no document and no text of ours says so', () => {
  const sources = ['cli', 'client', 'functions', 'sql'].flatMap((folder) =>
    globSync(`${folder}/**/*.{ts,sql}`, { cwd: root }),
  )
  const found = [...instructions, ...sources].filter((file) => {
    const text = readFileSync(join(root, file), 'utf8')
    return fetched.some((form) => form.test(text))
  })
  expect(sources.length).toBeGreaterThan(100)
  expect(found).toEqual([])
})
