/**
 * Every command in the documents: the program exists here, knows the command and its options, and names its target. Those of
 * referbase itself are in tests/cli/documents.test.ts.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { root } from '../../scripts/stack/root.ts'
import { supabase } from '../../scripts/stack/supabase.ts'
import { type Command, calledBy, commandsOf, documents } from '../support/documents.ts'

const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const commands = documents.flatMap(commandsOf)

const programOf = (command: Command) => calledBy(command)[0]
const optionsOf = ({ words }: Command) =>
  words.filter((word) => /^--[a-z]/.test(word)).map((word) => word.replace(/=.*/, ''))
const of = (program: string) => commands.filter((command) => programOf(command) === program)

test('the documents have commands, and each is of a program that is checked here or comes with the system', () => {
  const checked = ['referbase', 'supabase', 'npm', 'node', 'vitest', 'deno', 'stripe']
  const notHere = ['wrangler', 'expo']
  const ofSystem =
    'cd cp curl cut echo export git grep install ls mkdir mv nginx openssl pg_dump psql set systemctl .'.split(
      ' ',
    )
  const unknown = commands.filter(
    (command) => ![...checked, ...notHere, ...ofSystem].includes(String(programOf(command))),
  )
  expect(commands.length).toBeGreaterThan(60)
  expect(unknown.map(({ document, text }) => `${document}: ${text}`)).toEqual([])
})

describe('supabase', () => {
  // Empty, so that no project's configuration has a say.
  const folder = mkdtempSync(join(tmpdir(), 'referbase-cli-'))
  afterAll(() => rmSync(folder, { recursive: true }))

  type Help = {
    usage: string
    flags?: { name: string }[]
    globalFlags: { name: string }[]
    subcommands?: object[]
    target?: { scope: string }
  }

  const nameOf = ({ text }: Command) =>
    /^(?:npx )?supabase((?: [a-z][a-z-]*)*)/.exec(text)?.[1] ?? ''
  const byName = Map.groupBy(of('supabase'), nameOf)

  test('has several commands in the documents', () => {
    expect(byName.size).toBeGreaterThan(7)
  })

  test.each([...byName])('%s', async (name, told) => {
    const { stdout } = await supabase(
      [...name.trim().split(' '), '--help', '--output-format', 'json'],
      folder,
    )
    const { usage, flags = [], globalFlags, subcommands, target }: Help = JSON.parse(stdout).doc
    // A misspelt command prints the help of the one above it, with exit code 0.
    expect(subcommands, `supabase${name} is no command`).toBeUndefined()
    const [, path = ''] = /^supabase((?: [a-z-]+)+)/.exec(usage) ?? []
    expect(`${name} `.startsWith(`${path} `), usage).toBe(true)
    const known = [...flags, ...globalFlags].map((flag) => `--${flag.name}`)
    for (const command of told) {
      const options = optionsOf(command)
      expect(
        options.filter((option) => !known.includes(option)),
        command.text,
      ).toEqual([])
      if (target?.scope === 'local or remote') expect(options, command.text).toContain('--remote')
    }
  })
})

describe('npm', () => {
  const ofNpm = new Map(of('npm').map((command) => [command.text, command]))
  const script = ({ words }: Command) => {
    const [, verb = '', name = ''] = words.filter((word) => !word.startsWith('-'))
    return verb === 'run' ? name : verb
  }

  test('names scripts of package.json, or what npm does itself', () => {
    const own = ['ci', 'install', 'pack']
    const unknown = [...ofNpm.values()].filter(
      (command) => !(script(command) in scripts) && !own.includes(script(command)),
    )
    expect(ofNpm.size).toBeGreaterThan(10)
    expect(unknown.map(({ text }) => text)).toEqual([])
  })

  /** The options that the script and the files beside it that it imports parse. */
  function parsedBy(name: string): string[] {
    const [, file = ''] = / (\S+\.ts)$/.exec(scripts[name]) ?? []
    if (!file) return []
    const text = readFileSync(join(root, file), 'utf8')
    const imports = [...text.matchAll(/from '(\.\/[\w-]+\.ts)'/g)].map(([, path = '']) =>
      readFileSync(join(root, dirname(file), path), 'utf8'),
    )
    const options = [text, ...imports].join('\n').matchAll(/^ *'?([a-z][a-z-]*)'?: \{ type: '/gm)
    const inOneLine = text.matchAll(/options: \{ '?([a-z-]+)'?: \{ type: '/g)
    return [...options, ...inOneLine].map(([, option]) => `--${option}`)
  }

  const withOptions = [...ofNpm.values()].filter(
    (command) => script(command) in scripts && optionsOf(command).length > 0,
  )
  test.each(withOptions.map((command) => [command.text, command] as const))(
    '%s',
    (text, command) => {
      // npm keeps options for itself unless `--` stands before them.
      expect(text).toContain(' -- ')
      const known = parsedBy(script(command))
      expect(optionsOf(command).filter((option) => !known.includes(option))).toEqual([])
    },
  )
})

test('node and vitest are given files that exist, or that the document has the reader write', () => {
  for (const command of [...of('node'), ...of('vitest')]) {
    const [file = ''] = command.words.filter((word) => /\.(m?ts|m?js)$/.test(word))
    const written = readFileSync(join(root, command.document), 'utf8').includes(`\`${file}\``)
    expect(existsSync(join(root, file)) || written, command.text).toBe(true)
  }
})

test('deno is asked for what it has', () => {
  for (const command of of('deno')) {
    const name = command.words.find((word) => /^[a-z]+$/.test(word) && !/^(npx|deno)$/.test(word))
    const deno = join(root, 'node_modules/deno/deno')
    const help = execFileSync(deno, [String(name), '--help=full'], { encoding: 'utf8' })
    expect(optionsOf(command).filter((option) => !help.includes(option))).toEqual([])
  }
})

test('stripe is asked for what its CLI has', () => {
  // The CLI is not on npm. These are from its reference: https://docs.stripe.com/cli
  const known: Record<string, string[]> = {
    login: [],
    listen: ['--latest', '--forward-to', '--print-secret', '--events'],
    events: ['--webhook-endpoint', '--live'],
  }
  for (const command of of('stripe')) {
    const [, name = ''] = command.words
    expect(Object.keys(known), command.text).toContain(name)
    expect(optionsOf(command).filter((option) => !known[name]?.includes(option))).toEqual([])
    // Without it events come in the account's version, which can be older than the endpoint understands.
    if (name === 'listen' && optionsOf(command).includes('--forward-to'))
      expect(optionsOf(command), command.text).toContain('--latest')
  }
})
