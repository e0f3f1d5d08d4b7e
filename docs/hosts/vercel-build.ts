/**
 * The build of a Vercel project on the link host: fetches the two association files from the function referbase-link, because Vercel
 * serves `/.well-known` from files only. Deploy again after you changed the organisation's settings.
 */
import { mkdir, writeFile } from 'node:fs/promises'

const { LINK_FUNCTION_URL = '', LINK_PROXY_SECRET = '', LINK_HOST = '' } = process.env

const names = ['apple-app-site-association', 'assetlinks.json']
const made: string[] = []

await mkdir('public/.well-known', { recursive: true })
for (const name of names) {
  const answer = await fetch(`${LINK_FUNCTION_URL}/.well-known/${name}`, {
    headers: { 'x-referral-proxy': LINK_PROXY_SECRET, 'x-referral-host': LINK_HOST },
  })
  // An organisation with an app for one platform only has one of the files.
  if (answer.status === 404) continue
  if (!answer.ok) throw new Error(`${name}: the function answered ${answer.status}`)
  await writeFile(`public/.well-known/${name}`, await answer.text())
  made.push(name)
}
if (made.length === 0) throw new Error(`the function has none of ${names.join(', ')}`)
