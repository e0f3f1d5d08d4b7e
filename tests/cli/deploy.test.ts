/** The real CLI deploys our functions from an adopter's folder, beside a function of theirs. */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { bundleFunctions } from '../../scripts/build/functions.ts'
import { supabase } from '../../scripts/stack/supabase.ts'
import { startManagementApi } from '../support/management-api.ts'

const ours = ['referbase-link', 'referbase-stripe-webhook'] as const

const api = await startManagementApi()
const folder = mkdtempSync(join(tmpdir(), 'referbase-adopter-'))
afterAll(async () => {
  await api.stop()
  rmSync(folder, { recursive: true })
})

const write = (file: string, text: string) => {
  mkdirSync(dirname(join(folder, file)), { recursive: true })
  writeFileSync(join(folder, file), text)
}
const deploy = (...names: string[]) =>
  supabase(
    ['functions', 'deploy', ...names, '--use-api', `--remote=${api.ref}`],
    folder,
    api.environment,
  )

// The adopter's project, with a function of the name that ours once had, secrets and a test.
expect((await supabase(['init'], folder)).code).toBe(0)
write('supabase/functions/link/index.ts', "import { hi } from './hi.ts'\nDeno.serve(() => hi())\n")
write('supabase/functions/link/hi.ts', "export const hi = () => new Response('hi')\n")
write('supabase/functions/.env', 'STRIPE_WEBHOOK_SECRET=whsec_1\n')
write('supabase/functions/referbase-link/.env', 'LINK_PROXY_SECRET=1\n')
write('supabase/functions/referbase-link/index.test.js', "import './index.js'\n")
await bundleFunctions(join(folder, 'supabase/functions'))
for (const name of ours)
  appendFileSync(
    join(folder, 'supabase/config.toml'),
    `\n[functions.${name}]\nverify_jwt = false\nentrypoint = "./functions/${name}/index.js"\n`,
  )

test('each of our functions is one file, which needs no token of a user; theirs is as it was', async () => {
  const { code, stdout, stderr } = await deploy()
  expect([code, api.unknown]).toEqual([0, []])
  expect(stdout + stderr).not.toMatch(/WARN|error/i)
  expect([...api.deployed].sort()).toEqual(['link', ...ours])

  const sent = [...api.uploads].map(([name, { files, metadata }]) => [
    name,
    { files: Object.keys(files).sort(), verify_jwt: metadata.verify_jwt },
  ])
  const at = (file: string) => `supabase/functions/${file}`
  expect(Object.fromEntries(sent)).toEqual({
    link: { files: [at('link/hi.ts'), at('link/index.ts')], verify_jwt: true },
    'referbase-link': { files: [at('referbase-link/index.js')], verify_jwt: false },
    'referbase-stripe-webhook': {
      files: [at('referbase-stripe-webhook/index.js')],
      verify_jwt: false,
    },
  })
  for (const name of ours)
    expect(api.uploads.get(name)?.metadata.entrypoint_path).toBe(at(`${name}/index.js`))
})

test('a file that is missing would be seen: the CLI warns of it, and ends with 0', async () => {
  write('supabase/functions/broken/index.ts', "import './missing.ts'\n")
  const { code, stdout, stderr } = await deploy('broken')
  expect(code).toBe(0)
  expect(stdout + stderr).toMatch(/WARN.*missing\.ts/)
})
