/** docs/quickstart.md: its files and its commands, in its order, as a reader copies them. */
import { execSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, inject, test } from 'vitest'
import { root } from '../../scripts/stack/root.ts'
import { blocksOf } from '../support/blocks.ts'
import { openWorkshop } from '../support/workshop.ts'

const document = join(root, 'docs/quickstart.md')
const blocks = blocksOf(document)
const files = blocks.filter(({ name }) => name?.endsWith('.mts'))
const commands = blocks
  .filter(({ language }) => language === 'sh')
  .flatMap(({ text }) => text.trim().split('\n'))

test('a reader who copies it has a redeemed code and a commission', () => {
  const { folder, write, close } = openWorkshop('quickstart')
  try {
    expect(files.map(({ name }) => name)).toEqual(['app.mts', 'pay.mts'])
    for (const { name = '', text } of files) write(name, text)
    const run = (command: string) =>
      execSync(command.replace('npx --no-install referbase', `node ${join(root, 'dist/cli.js')}`), {
        cwd: folder,
        encoding: 'utf8',
        stdio: 'pipe',
      })
    const [setup = ''] = commands.filter((command) => command.includes('referbase setup'))
    const [, id = ''] = /^Id +([0-9a-f-]{36})$/m.exec(run(setup)) ?? []
    expect(run(setup)).toContain(id)
    write('.env.org', `ORG_ID=${id}\n`)

    const [app = ''] = commands.filter((command) => command.startsWith('node --env-file'))
    const printed = run(app)
    const [told = ''] = blocks.filter(({ language }) => language === 'text').map(({ text }) => text)
    expect(withoutIds(printed)).toBe(withoutIds(told))

    const [, pay = ''] = /^Now pay: (.*)$/m.exec(printed) ?? []
    expect(() => run(pay.replace(/ \S+$/, ''))).toThrow('Pass the id of the friend')
    expect(readFileSync(document, 'utf8')).toContain(run(pay).trim())
  } finally {
    close()
  }
})

test('its commands before the programme are those of tests/cli/adopter.test.ts', () => {
  const before = commands.filter((command) => /referbase (init|start)/.test(command))
  expect(before.slice(0, 2).map((command) => command.split('referbase ')[1])).toEqual([
    'init --cron',
    'start --write-env .env.stack',
  ])
})

/** Codes, ids and the port are different each time. */
const withoutIds = (text: string) =>
  text
    .replaceAll(inject('stack').FUNCTIONS_URL, 'http://127.0.0.1:54321/functions/v1')
    // First, because two groups of an id can look like a code.
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '…')
    .replace(/[0-9A-Z]{4}-[0-9A-Z]{4}/g, 'CODE')

test('the package that a reader installs has the version of this one', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  for (const file of [document, join(root, 'docs/mobile.md')]) {
    const named = [...readFileSync(file, 'utf8').matchAll(/referbase-([\d.]+)\.tgz/g)]
    expect(named.length).toBeGreaterThan(0)
    expect(named.filter(([, named]) => named !== version)).toEqual([])
  }
})
