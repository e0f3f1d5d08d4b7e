import { execSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, inject, test } from 'vitest'
import { root } from '../../scripts/stack/root.ts'

const readme = readFileSync(join(root, 'README.md'), 'utf8')

test('the README’s tour is one program that prints what its comments say', () => {
  const blocks = [...readme.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, block]) => block)
  const program = blocks.join('\n')
  const promised = [...program.matchAll(/^console\.log\(.*\) \/\/ (.*)$/gm)].map(([, text]) => text)
  // Inside the repository, so that `referbase` is the package itself.
  const folder = join(root, '.referbase', `tour-${crypto.randomUUID()}`)
  mkdirSync(folder, { recursive: true })
  try {
    writeFileSync(join(folder, 'tour.ts'), program)
    const environment = Object.entries(inject('stack')).map(([name, value]) => `${name}=${value}\n`)
    writeFileSync(join(folder, '.env.local'), environment.join(''))
    const [, command = ''] = /run it with\s+`(.*)`/.exec(readme) ?? []
    const output = execSync(`${command}`, { cwd: folder, encoding: 'utf8', stdio: 'pipe' })
    expect(blocks.length).toBeGreaterThanOrEqual(4)
    expect(output.trim().split('\n')).toEqual(promised)
  } finally {
    rmSync(folder, { recursive: true })
    // Only where nothing else is in it.
    if (readdirSync(dirname(folder)).length === 0) rmdirSync(dirname(folder))
  }
})

test('every npm script that the documents name exists', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const named = [
    ...readme.matchAll(
      /npm (?:run )?(start|test|demo|[a-z]+:[a-z]+|check|format|migrate|types|lock)\b/g,
    ),
  ]
  expect(named.map(([, name]) => name).filter((name) => !(String(name) in scripts))).toEqual([])
})

test('every file that the README links to exists', () => {
  for (const [, file] of readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
    expect(() => readFileSync(join(root, String(file))), file).not.toThrow()
  }
})
