/** Versions of migrations, releases, and what the changelog says between two of them. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { upgradeNotes } from '../../cli/repository/changelog.ts'
import { compareReleases, nextMigrationVersion } from '../../cli/repository/versions.ts'

const now = new Date('2026-11-28T12:34:56Z')

test.each([
  ['nothing', [], '20261128123456'],
  ['older ones', ['20240101000000', '1'], '20261128123456'],
  ['the same second', ['20261128123456'], '20261128123457'],
  ['the end of a year', ['20991231235959'], '21000101000000'],
  ['one that is no time', ['20261199999999'], '20261200000000'],
  ['a number', ['9'], '90000000000001'],
  ['the greatest', ['99999999999999'], '999999999999990'],
])('the version after %s', (_, versions, expected) => {
  expect(nextMigrationVersion(versions, now)).toBe(expected)
})

test('the next version sorts after all others', () => {
  fc.assert(
    fc.property(fc.array(fc.stringMatching(/^\d{1,16}$/)), (versions) => {
      const next = nextMigrationVersion(versions, now)
      expect(next).toMatch(/^\d+$/)
      expect([...versions, next].toSorted().at(-1)).toBe(next)
      expect(versions).not.toContain(next)
    }),
  )
})

test('releases are compared as numbers', () => {
  const releases = ['0.10.0', '0.2.0', '1.0.0', '0.2.10', '0.2.9']
  expect(releases.toSorted(compareReleases)).toEqual([
    '0.2.0',
    '0.2.9',
    '0.2.10',
    '0.10.0',
    '1.0.0',
  ])
})

const changelog = `# Changelog

## Unreleased

### Links

- Not out yet.

## 0.3.0 · 2027-02-01

### You must do

Set X.

### Codes

- New.

## 0.2.1

### Codes

- Faster.
- Shorter.

### Links

- Longer.

## 0.2.0

### Codes
`

test('the notes are of the releases in between, newest first', () => {
  expect(upgradeNotes(changelog, { from: '0.2.0', to: '0.3.0', preview: false })).toBe(
    '## 0.3.0 · 2027-02-01\n\nSet X.\n\n## 0.2.1\n\nNothing that you must do. New:\n- Codes\n- Links\n',
  )
  expect(upgradeNotes(changelog, { from: '0.2.0', to: '0.2.1', preview: false })).toMatch(
    /^## 0\.2\.1\n/,
  )
  expect(upgradeNotes(changelog, { from: '0.3.0', to: '0.3.0', preview: false })).toBe('')
})

test('a preview has what is not released yet', () => {
  expect(upgradeNotes(changelog, { from: '0.3.0', to: '0.3.0', preview: true })).toBe(
    '## Unreleased\n\nNothing that you must do. New:\n- Links\n',
  )
})
