/** What the changelog says to somebody who comes from an older release. */
import { compareReleases } from './versions.ts'

/**
 * The sections of newer releases, newest first. Of each, the whole text of `### You must do`, or else its headings.
 * `Unreleased` is newer than every release, and asked for by a preview only.
 */
export function upgradeNotes(
  changelog: string,
  { from, to, preview }: { from: string; to: string; preview: boolean },
): string {
  const isNews = (title: string) => {
    const version = /^v?(\d+\.\d+\.\d+\S*)/.exec(title)?.[1]
    if (!version) return preview && /^unreleased/i.test(title)
    return compareReleases(version, from) > 0 && compareReleases(version, to) <= 0
  }
  const sections = parts(changelog.replaceAll('\r\n', '\n'), '## ')
  return sections
    .filter(({ title }) => isNews(title))
    .map(({ title, text }) => {
      const inner = parts(text, '### ')
      const musts = inner.filter(({ title }) => /^(you must do|upgrading)\b/i.test(title))
      const news = inner.map(({ title }) => `- ${title}\n`).join('')
      const body = musts.map(({ text }) => text.trim()).join('\n\n')
      return `## ${title}\n\n${body === '' ? `Nothing that you must do. New:\n${news}` : `${body}\n`}`
    })
    .join('\n')
}

/** The text below each heading of a level. */
const parts = (text: string, mark: string) =>
  `\n${text}`
    .split(`\n${mark}`)
    .slice(1)
    .map((part) => {
      const end = `${part}\n`.indexOf('\n')
      return { title: part.slice(0, end).trim(), text: part.slice(end + 1) }
    })
