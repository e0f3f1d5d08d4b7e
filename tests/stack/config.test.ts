import { expect, inject, test } from 'vitest'
import { readProject } from '../../scripts/stack/project.ts'
import { root } from '../../scripts/stack/root.ts'

test('the local stack exposes the schemas that supabase/config.toml exposes when it is deployed', async () => {
  const { SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY: apikey } = inject('stack')
  const answer = await fetch(`${SUPABASE_URL}/rest/v1/rpc/resolve_code?code=none`, {
    headers: { apikey, 'accept-profile': 'referral_private' },
  })
  const { schemas } = readProject(root).api
  expect(answer.status).toBe(406)
  expect(JSON.stringify(await answer.json())).toContain(schemas.join(', '))
  expect(schemas).toContain('referral')
})
