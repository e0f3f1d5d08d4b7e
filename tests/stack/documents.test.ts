import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { supabase } from '../../scripts/stack/supabase.ts'

const names = readdirSync('docs').filter((name) => name.endsWith('.md'))
const documents = ['README.md', 'CONTRIBUTING.md', ...names.map((name) => `docs/${name}`)]
const text = documents.map((name) => readFileSync(name, 'utf8')).join('\n')

test('no table of the documents is padded, and none of its lines is longer than 120 characters', () => {
  const rows = text.match(/^\|.*\|$/gm) ?? []
  expect(rows.length).toBeGreaterThan(100)
  expect(rows.filter((row) => /-{4}| {2,}\|/.test(row))).toEqual([])
  expect(rows.filter((row) => row.length > 120)).toEqual([])
})

const commands = new Set(
  [...text.matchAll(/npx supabase ([^\n`#]+)/g)].map(([, command = '']) => command.trim()),
)

const nameOf = (command: string) => /^[a-z]+( [a-z]+)*/.exec(command)?.[0] ?? ''
const byName = Map.groupBy(commands, nameOf)

test.each([...byName])('supabase %s: its database and its options', async (name, commands) => {
  const { stdout: help } = await supabase([...name.split(' '), '--help'])
  expect(help).toContain(`USAGE\n  supabase ${name} `)
  for (const command of commands) {
    const options = command.match(/--[a-z-]+/g) ?? []
    if (help.includes('Local by default.')) expect(options, command).toContain('--remote')
    expect(
      options.filter((option) => !help.includes(`  ${option}`)),
      command,
    ).toEqual([])
  }
})
