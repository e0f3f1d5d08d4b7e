/** A stand-in of Supabase's Management API on the loopback, for what the CLI asks of a hosted project. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { z } from 'zod'

/** What the CLI says of a function beside its files. */
const metadata = z.looseObject({
  name: z.string(),
  entrypoint_path: z.string(),
  /** Of a function that is not in config.toml the CLI says nothing, and the platform asks for a token. */
  verify_jwt: z.boolean().default(true),
})

type Upload = {
  metadata: z.infer<typeof metadata>
  /** The text of each uploaded file, by its path. */
  files: Record<string, string>
}

/** As the API describes a function. */
const describeFunction = (slug: string, { metadata: { name, verify_jwt } }: Upload) => {
  const times = { created_at: 1, updated_at: 1 }
  return { id: crypto.randomUUID(), slug, name, status: 'ACTIVE', version: 1, verify_jwt, ...times }
}

/**
 * Starts the stand-in of one hosted project. `environment` leads the CLI to it. `uploads` are the functions as the CLI sent
 * them, by name, and `deployed` the names of those that are live: the CLI uploads several first, and then lists them.
 */
export async function startManagementApi() {
  const ref = 'abcdefghijklmnopqrst'
  const token = `sbp_${'0123456789abcdef'.repeat(3).slice(0, 40)}`
  const uploads = new Map<string, Upload>()
  const deployed = new Set<string>()
  const unknown: string[] = []

  const app = new Hono().basePath('/v1/projects/:ref')
  app.use((c, next) => {
    const known = c.req.header('authorization') === `Bearer ${token}` && c.req.param('ref') === ref
    return known ? next() : Promise.resolve(c.json({ message: 'Unauthorized' }, 401))
  })
  app.post('/functions/deploy', async (c) => {
    const form = await c.req.formData()
    const slug = c.req.query('slug') ?? ''
    const files = form.getAll('file').filter((file) => file instanceof File)
    const texts = files.map(async (file) => [file.name, await file.text()] as const)
    const upload = {
      metadata: metadata.parse(JSON.parse(String(form.get('metadata')))),
      files: Object.fromEntries(await Promise.all(texts)),
    }
    uploads.set(slug, upload)
    if (c.req.query('bundleOnly') !== 'true') deployed.add(slug)
    return c.json(describeFunction(slug, upload), 201)
  })
  app.put('/functions', async (c) => {
    const functions = z.array(z.object({ slug: z.string() })).parse(await c.req.json())
    for (const { slug } of functions) deployed.add(slug)
    return c.json({ functions })
  })
  app.get('/functions', (c) =>
    c.json([...uploads].map(([slug, upload]) => describeFunction(slug, upload))),
  )
  app.get('/', (c) => c.json({ id: ref, ref, name: 'stand-in', status: 'ACTIVE_HEALTHY' }))
  app.notFound((c) => {
    unknown.push(`${c.req.method} ${c.req.path}`)
    return c.json({ message: 'Not Found' }, 404)
  })

  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
  await new Promise((resolve) => server.once('listening', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const home = mkdtempSync(join(tmpdir(), 'referbase-management-'))
  const profile = { name: 'stand-in', api_url: url, dashboard_url: url, project_host: '127.0.0.1' }
  writeFileSync(join(home, 'profile.json'), JSON.stringify(profile))
  return {
    ref,
    uploads,
    deployed,
    /** What the CLI asked for that is not here. */
    unknown,
    environment: {
      SUPABASE_PROFILE: join(home, 'profile.json'),
      SUPABASE_HOME: home,
      SUPABASE_ACCESS_TOKEN: token,
    },
    stop: () =>
      new Promise<void>((resolve) => {
        rmSync(home, { recursive: true })
        server.close(() => resolve())
        if ('closeAllConnections' in server) server.closeAllConnections()
      }),
  }
}
