/** How the documents call the package: npm runs one that is installed, and fetches none by its name. */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'referbase-npx-'))
const manifest = { name: 'referbase', version: '9.9.9', bin: { referbase: 'run.js' } }
const asked: string[] = []
/** A registry at which somebody has taken the name. */
const registry = createServer((request, response) => {
  asked.push(String(request.url))
  const dist = { tarball: `http://${request.headers.host}/referbase.tgz` }
  const versions = { '9.9.9': { ...manifest, dist } }
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ name: 'referbase', 'dist-tags': { latest: '9.9.9' }, versions }))
})
await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve))
afterAll(() => {
  registry.close()
  rmSync(folder, { recursive: true })
})

/** Runs the command of the documents in a project. */
const npx = (project: string) =>
  new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
    const env = {
      PATH: process.env.PATH,
      npm_config_registry: `http://127.0.0.1:${(registry.address() as AddressInfo).port}`,
      npm_config_cache: join(folder, 'cache'),
      npm_config_update_notifier: 'false',
    }
    const args = ['--no-install', 'referbase', 'codes']
    execFile('npx', args, { cwd: project, env }, (error, stdout, stderr) =>
      resolve({ code: error ? error.code : 0, stdout, stderr }),
    )
  })

test('npx --no-install runs what is installed, and nothing where nothing is', async () => {
  const [without, installed] = [join(folder, 'without'), join(folder, 'installed')]
  for (const project of [without, installed]) {
    mkdirSync(join(project, 'node_modules'), { recursive: true })
    writeFileSync(join(project, 'package.json'), '{}')
  }
  const { code, stdout, stderr } = await npx(without)
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr).toContain('canceled due to missing packages')
  expect(asked.filter((path) => path.endsWith('.tgz'))).toEqual([])

  mkdirSync(join(installed, 'node_modules/.bin'))
  const program = '#!/bin/sh\necho "installed $1"\n'
  writeFileSync(join(installed, 'node_modules/.bin/referbase'), program, { mode: 0o755 })
  expect(await npx(installed)).toMatchObject({ code: 0, stdout: 'installed codes\n' })
})
