/** The TypeScript of all documents compiles, as strictly as this project does. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { root } from '../../scripts/stack/root.ts'
import { type Block, blocksOf } from '../support/blocks.ts'
import { documents, textOf } from '../support/documents.ts'
import { stackDatabase } from '../support/http.ts'
import { openWorkshop } from '../support/workshop.ts'

/** What the examples use and do not make. */
const given = `
import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import type Postgres from 'postgres'
import type * as Client from 'referbase'
import type Stripe from 'stripe'

const theirs = createClient('', '').schema('referral')

declare global {
  const supabase: SupabaseClient
  const operator: typeof theirs
  const referrals: Client.ReferralClient
  const staff: Client.StaffClient
  const links: ReturnType<typeof Client.createReferralLinks>
  const stripe: Stripe
  const postgres: typeof Postgres
  type LedgerSlice = Client.LedgerSlice
  const url: string, secretKey: string, publishableKey: string, poolerUrl: string
  const orgId: string, userId: string, mentorId: string, oldCustomerId: string, yourOwnUserId: string
  const customer: string, price: string, coupon: string, code: string & { id: string }
  const programId: string, memberId: string, openedUrl: string
  const email: string, password: string
}
`

/** Examples with what they leave out: imports, the operator's client, and what dots stand for. */
function importing(text: string): string {
  if (text.includes('import ')) return text
  const names = [...new Set(text.match(/(?<!\.)\b(?:create|share|parse)\w+(?=\()/g))]
  const ours = names.filter((name) => name !== 'createClient')
  return [
    text.includes('createClient(') ? "import { createClient } from '@supabase/supabase-js'" : '',
    /\boperator\.\w+\(/.test(text) && !text.includes('operator.rpc')
      ? "import type { OperatorClient } from 'referbase'\ndeclare const operator: OperatorClient"
      : '',
    ours.length ? `import { ${ours.join(', ')} } from 'referbase'` : '',
    text.replace(/ …$/gm, ' {}').replace(/^ *…$/gm, ''),
  ].join('\n')
}

const sql = stackDatabase()
const workshop = openWorkshop('examples')
afterAll(workshop.close)

test('no example is of a language that is not checked', () => {
  const checked = ['ts', 'tsx', 'sql', 'sh', 'json', 'http', 'text', 'xml']
  // Not compiled here, and the document says so.
  const others = ['dart', 'swift', 'kotlin']
  // One with a file name is run by the test of its document.
  const isChecked = ({ language, name }: Block) =>
    [...checked, ...others].includes(language) ||
    (language === 'js' && name) ||
    // PgBouncer's, with which its tests run.
    language === 'ini'
  const languages = documents.flatMap((document) => blocksOf(join(root, document)))
  const unknown = languages.filter((block) => !isChecked(block))
  expect(unknown.map(({ language, text }) => `${language}: ${text}`)).toEqual([])
})

test('every example compiles', () => {
  const programs = documents
    // Its examples have placeholders for arguments, and are made from the database.
    .filter((document) => document !== 'docs/api.md')
    .flatMap((document) => {
      // A block with a file name is compiled by the test of its document.
      const blocks = blocksOf(join(root, document)).filter(({ language }) => language === 'ts')
      const texts = blocks.filter(({ name }) => !name).map(({ text }) => text)
      const name = document.replace('/', '-').replace('.md', '')
      // Those of comments stand alone.
      const parts = document === 'docs/client.md' ? texts : [texts.join('\n')]
      return parts.map((text, n) => ({ name: `${name}-${n}`, text: importing(text) }))
    })
    .filter(({ text }) => text !== '')
  expect(programs.length).toBeGreaterThan(9)
  for (const { name, text } of programs) workshop.write(`${name}.ts`, `${text}\nexport {}\n`)
  workshop.write('given.ts', given)
  const { compilerOptions } = JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8'))
  const options = { ...compilerOptions, noUnusedLocals: false }
  workshop.write('tsconfig.json', JSON.stringify({ compilerOptions: options, include: ['.'] }))
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const { stdout } = spawnSync(process.execPath, [tsc], { cwd: workshop.folder, encoding: 'utf8' })
  expect(stdout).toBe('')
})

test('every function of the database that a document calls exists', async () => {
  const rows = await sql`
    select n.nspname || '.' || p.proname as name from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace`
  const known = new Set(rows.map(({ name }) => name))
  // Of the files of sql/ that decisions.md and CONTRIBUTING.md write about, some are gone or are yours.
  const guides = documents.filter((name) => !/decisions|CONTRIBUTING|CHANGELOG/.test(name))
  const named = guides.flatMap((document) => [
    ...textOf(document).matchAll(/\b(referral(?:_private)?\.\w+)\(/g),
  ])
  expect(named.length).toBeGreaterThan(5)
  expect(named.map(([, name]) => name).filter((name) => !known.has(name))).toEqual([])
})
