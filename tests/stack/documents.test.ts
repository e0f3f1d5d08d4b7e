/** All documents: their tables, their links, and that they advise nothing that does harm. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../../scripts/stack/root.ts'
import { anchorsOf, documents, linksOf, textOf } from '../support/documents.ts'

const text = documents.map(textOf).join('\n')

test('no table of the documents is padded, and none of its lines is longer than 120 characters', () => {
  const rows = text.match(/^\|.*\|$/gm) ?? []
  expect(rows.length).toBeGreaterThan(100)
  expect(rows.filter((row) => /-{4}| {2,}\|/.test(row))).toEqual([])
  expect(rows.filter((row) => row.length > 120)).toEqual([])
})

test.each(documents)('the links of %s lead to files and headings that exist', (document) => {
  const broken = linksOf(document).filter(({ path, anchor }) => {
    if (!existsSync(join(root, path))) return true
    return anchor !== '' && !anchorsOf(path).includes(anchor)
  })
  expect(broken.map(({ link }) => link)).toEqual([])
})

test('the source files that documents name are there', () => {
  const named = documents
    .filter((document) => document !== 'docs/decisions.md')
    .flatMap((document) => [
      ...textOf(document).matchAll(/`((?:sql|functions|client)\/[\w/-]+\.(?:sql|ts))`/g),
    ])
    .map(([, path]) => String(path))
  expect(named.length).toBeGreaterThan(100)
  expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([])
})

test('no document advises to push the configuration, which would switch off e-mail confirmation', () => {
  expect(text.match(/(?<!Do not run )`(?:npx )?supabase config push/g) ?? []).toEqual([])
  expect(text.match(/^\s*npx supabase config push/gm) ?? []).toEqual([])
})
