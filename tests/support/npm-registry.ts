/** A registry of npm that has the packages of `node_modules`, so that a program which downloads them needs no network. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { root } from '../../scripts/stack/root.ts'

const run = promisify(execFile)

export async function startNpmRegistry() {
  const app = new Hono()
  app.get('*', async (c) => {
    const url = new URL(c.req.url)
    const [, name = '', archive] = /^\/(.+?)(\.tgz)?$/.exec(decodeURIComponent(url.pathname)) ?? []
    const folder = join(root, 'node_modules', name)
    const manifest = join(folder, 'package.json')
    if (!existsSync(manifest)) return c.json({ error: 'Not found' }, 404)
    if (archive) {
      const options = { encoding: 'buffer', maxBuffer: 2 ** 28 } as const
      const { stdout } = await run('tar', ['-cz', '-C', dirname(folder), basename(folder)], options)
      return c.body(new Uint8Array(stdout))
    }
    const { version, ...rest } = JSON.parse(readFileSync(manifest, 'utf8'))
    const dist = { tarball: `${url.origin}/${name}.tgz` }
    const versions = { [version]: { ...rest, version, dist } }
    return c.json({ name, 'dist-tags': { latest: version }, versions })
  })
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
  await new Promise<void>((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    stop: () => new Promise<unknown>((resolve) => server.close(resolve)),
  }
}
