import { commandText } from '../command-text.ts'
import { connect } from '../database.ts'
import { pack } from '../pack.ts'
import type { Project } from '../project.ts'
import { timedFetch } from '../timed-fetch.ts'
import { isLocal } from './examined.ts'
import { type Line, ok, unchecked, wrong } from './line.ts'
import { compareVersion } from './version.ts'
import { whyOf } from './why.ts'

const push = commandText.supabase('db push --remote')
const upgrade = `${commandText.referbase('upgrade')}, then ${push}`

/** Does the Data API expose what it should, is the key the operator's, and is the schema of this version? */
export async function checkDatabase(project: Project): Promise<Line[]> {
  const { data: version, error, status } = await project.database.rpc('installed_version')
  const hidden = await checkPrivateSchema(project)
  if (!error)
    return [
      ok('schema_exposed', 'The schema referral is exposed.'),
      hidden,
      ok('operator', 'SUPABASE_SECRET_KEY is the operator’s.'),
      ...(await checkPublishableKey(project)),
      compareVersion('schema_version', 'The schema', String(version), upgrade),
    ]
  if (error.code === 'PGRST106')
    return [
      wrong('schema_exposed', 'The schema referral is not exposed.', exposing(project)),
      hidden,
    ]
  if (error.code === 'PGRST202') return [...(await checkOlderSchema(project)), hidden]
  if (status === 401 || error.code === '42501') {
    const remedy = 'Copy the secret key of this project: dashboard, project settings, API keys.'
    return [wrong('operator', 'SUPABASE_SECRET_KEY is not the secret key of this project.', remedy)]
  }
  const why = whyOf(project, error, status)
  return [wrong('data_api', 'The Data API does not respond as it should.', why)]
}

const exposing = ({ url }: Project) =>
  isLocal(url)
    ? 'Add "referral" to schemas in section [api] of supabase/config.toml, and start the project again.'
    : 'Add referral to the exposed schemas: dashboard, project settings, Data API.'

async function checkPrivateSchema({ url, key }: Project): Promise<Line> {
  const name = 'private_schema_hidden'
  const { error, status } = await connect(url, key, timedFetch(10_000))
    .schema('referral_private' as 'referral')
    .from('organisations')
    .select('id')
    .limit(1)
  if (error?.code === 'PGRST106') return ok(name, 'The schema referral_private is not exposed.')
  if (status === 0 || status === 401)
    return unchecked(
      name,
      'Whether referral_private is hidden is not known.',
      'Mend the key first.',
    )
  const remedy = 'Remove it from the exposed schemas: dashboard, project settings, Data API.'
  return wrong(name, 'The schema referral_private is exposed.', remedy)
}

/** The schema has no `installed_version`: it is not there, or is older than the version that has it. */
async function checkOlderSchema({ database }: Project): Promise<Line[]> {
  const { error } = await database.from('organisations').select('id').limit(1)
  if (error)
    return [
      wrong(
        'schema_installed',
        'The migrations of referbase are not applied.',
        `${commandText.referbase('init')}, then ${push}`,
      ),
    ]
  return [
    ok('schema_exposed', 'The schema referral is exposed.'),
    wrong('schema_version', `The schema is older than version ${pack.version}.`, upgrade),
  ]
}

/** The publishable key is in every app: it may not act as the operator. */
async function checkPublishableKey({ url, publishableKey }: Project): Promise<Line[]> {
  if (publishableKey === undefined) return []
  const name = 'publishable_key'
  const app = connect(url, publishableKey, timedFetch(10_000))
  const { error, status } = await app.rpc('resolve_code', { code: '' })
  if (status === 401 || status === 403) {
    const remedy = 'Copy it anew: dashboard, project settings, API keys.'
    return [wrong(name, 'SUPABASE_PUBLISHABLE_KEY is not a key of this project.', remedy)]
  }
  if (error) return [unchecked(name, 'The publishable key is not checked.', error.message)]
  const operator = await app.rpc('installed_version')
  return operator.error
    ? [ok(name, 'SUPABASE_PUBLISHABLE_KEY is of this project, and is not the operator’s.')]
    : [
        wrong(
          name,
          'SUPABASE_PUBLISHABLE_KEY is a secret key: whoever has the app has the whole project.',
          'Take it out of the app, and revoke it: dashboard, project settings, API keys.',
        ),
      ]
}
