import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import type { Organisation } from '../../client/rows.ts'
import { commandText } from '../command-text.ts'
import { type Line, ok, unchecked, wrong } from './line.ts'
import { request } from './request.ts'

/** The app ids that Apple's file names. */
const appleFile = z
  .object({ applinks: z.object({ details: z.array(z.object({ appIDs: z.array(z.string()) })) }) })
  .transform(({ applinks }) => applinks.details.flatMap(({ appIDs }) => appIDs))

/** The package and the fingerprints that Android's file names. */
const androidFile = z
  .array(
    z.object({
      target: z.object({
        package_name: z.string(),
        sha256_cert_fingerprints: z.array(z.string()),
      }),
    }),
  )
  .transform((statements) =>
    statements.flatMap(({ target }) => [target.package_name, ...target.sha256_cert_fingerprints]),
  )

/** Do the files on a link host tie it to the organisation's apps? */
export async function checkAssociations(organisation: Organisation): Promise<Line[]> {
  const { slug, link_origin: host, ios_app_ids: ids, android_package: app } = organisation
  const fingerprints = organisation.android_fingerprints
  const android = app && fingerprints.length > 0 ? [app, ...fingerprints] : []
  return [
    await checkFile(`${host}/.well-known/apple-app-site-association`, appleFile, ids, iosOf(slug)),
    await checkFile(`${host}/.well-known/assetlinks.json`, androidFile, android, androidOf(slug)),
  ]
}

/** A system, and the command that makes links open its app. */
type System = { name: 'iOS' | 'Android'; opening: string }

const iosOf = (slug: string): System => ({
  name: 'iOS',
  opening: commandText.referbase(`setup --slug ${slug} --ios-app-ids ABCDE12345.com.example.app`),
})
const androidOf = (slug: string): System => ({
  name: 'Android',
  opening: commandText.referbase(
    `setup --slug ${slug} --android-package com.example.app --android-fingerprints AB:CD:…`,
  ),
})

async function checkFile(
  url: string,
  shape: z.ZodType<string[]>,
  wanted: string[],
  { name: system, opening }: System,
): Promise<Line> {
  const name = `association_${system.toLowerCase()}`
  if (wanted.length === 0) {
    return unchecked(name, `Links open no ${system} app.`, `To open one: ${opening}`)
  }
  const { response, body, failure } = await request(url)
  const remedy = 'Set up the host by the page on link hosts. On Vercel, deploy it again.'
  if (!response) return wrong(name, `${url} does not respond: ${failure}.`, remedy)
  const type = response.headers.get('content-type') ?? ''
  // Neither Apple nor Google follows a redirect.
  if (response.status !== 200 || !/^application\/json\b/.test(type))
    return wrong(
      name,
      `${url} is no JSON: status ${response.status}, ${type || 'no type'}.`,
      remedy,
    )
  const named = shape.safeParse(jsonOf(body)).data ?? []
  return isDeepStrictEqual(new Set(named), new Set(wanted))
    ? ok(name, `${url} names the ${system} app.`)
    : wrong(name, `${url} does not name the ${system} app of the organisation.`, remedy)
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
