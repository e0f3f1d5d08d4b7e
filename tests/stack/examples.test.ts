/** The TypeScript of all documents compiles, as strictly as this project does. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { root } from '../../scripts/stack/root.ts'
import { blocksOf } from '../support/blocks.ts'
import { documents } from '../support/documents.ts'
import { openWorkshop } from '../support/workshop.ts'

/** What the examples use and do not make. */
const given = `
import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import type { createReferralClient as Make, OperatorClient, StaffClient } from 'referbase'
import type Stripe from 'stripe'

const theirs = createClient('', '').schema('referral')

declare global {
  const supabase: SupabaseClient
  const operator: typeof theirs
  const referrals: ReturnType<typeof Make>
  const staff: StaffClient
  const stripe: Stripe
  const createReferralClient: typeof Make
  const createOperatorClient: (supabase: SupabaseClient) => OperatorClient
  const url: string, secretKey: string, publishableKey: string
  const orgId: string, userId: string, mentorId: string, oldCustomerId: string, yourOwnUserId: string
  const customer: string, price: string, coupon: string, code: string
  const email: string, password: string
}
`

const workshop = openWorkshop('examples')
afterAll(workshop.close)

test('no example is of a language that is not checked', () => {
  const checked = ['ts', 'tsx', 'sql', 'sh', 'json', 'http', 'text', 'xml']
  // Not compiled here, and the document says so.
  const others = ['dart', 'swift', 'kotlin']
  const languages = documents.flatMap((document) => blocksOf(join(root, document)))
  const unknown = languages.filter(({ language }) => ![...checked, ...others].includes(language))
  expect(unknown.map(({ language, text }) => `${language}: ${text}`)).toEqual([])
})

test('every example compiles', () => {
  const programs = documents
    // Its examples have placeholders for arguments, and are made from the database.
    .filter((document) => document !== 'docs/api.md')
    .map((document) => {
      // A block with a file name is compiled by the test of its document.
      const blocks = blocksOf(join(root, document)).filter(({ language }) => language === 'ts')
      const text = blocks.filter(({ name }) => !name).map(({ text }) => text)
      return { name: document.replace('/', '-').replace('.md', '.ts'), text: text.join('\n') }
    })
    .filter(({ text }) => text !== '')
  expect(programs.length).toBeGreaterThan(9)
  for (const { name, text } of programs) workshop.write(name, `${text}\nexport {}\n`)
  workshop.write('given.ts', given)
  const { compilerOptions } = JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8'))
  const options = { ...compilerOptions, noUnusedLocals: false }
  workshop.write('tsconfig.json', JSON.stringify({ compilerOptions: options, include: ['.'] }))
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const { stdout } = spawnSync(process.execPath, [tsc], { cwd: workshop.folder, encoding: 'utf8' })
  expect(stdout).toBe('')
})
