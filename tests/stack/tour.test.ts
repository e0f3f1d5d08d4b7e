import { execSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../../scripts/stack/root.ts'
import { programOf, promisedBy } from '../support/examples.ts'
import { openWorkshop } from '../support/workshop.ts'

const document = join(root, 'docs/tour.md')

test('the tour is one program that prints what its comments say', () => {
  const program = programOf(document)
  const [, command = ''] = /run it with\s+`([^`]*)`/.exec(readFileSync(document, 'utf8')) ?? []
  const { folder, write, close } = openWorkshop('tour')
  try {
    write('tour.mts', program)
    const output = execSync(command, { cwd: folder, encoding: 'utf8', stdio: 'pipe' })
    expect(promisedBy(program).length).toBeGreaterThan(12)
    expect(output.trim().split('\n')).toEqual(promisedBy(program))
  } finally {
    close()
  }
})
