/** The page of tests/fixtures/page, built by Vite as an app is, on a server of its own. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { build, preview } from 'vite'
import { root } from '../../scripts/stack/root.ts'
import { unpackedClient } from './packed.ts'

/** Builds the page against the packed client, with the variables that it reads, and serves it at the address. */
export async function startPage(address: string, variables: Record<string, string>) {
  const client = unpackedClient()
  const outDir = mkdtempSync(join(tmpdir(), 'referbase-page-'))
  const settings = {
    root: join(root, 'tests/fixtures/page'),
    configFile: false,
    logLevel: 'error',
    build: { outDir, emptyOutDir: true },
  } as const
  await build({
    ...settings,
    resolve: { alias: { referbase: client } },
    define: Object.fromEntries(
      Object.entries(variables).map(([name, value]) => [
        `import.meta.env.VITE_${name}`,
        JSON.stringify(value),
      ]),
    ),
  })
  const server = await preview({
    ...settings,
    preview: { host: '127.0.0.1', port: Number(new URL(address).port), strictPort: true },
  })
  return {
    stop: async () => {
      await server.close()
      rmSync(outDir, { recursive: true })
      rmSync(dirname(client), { recursive: true })
    },
  }
}
