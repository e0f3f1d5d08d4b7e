import postgres from 'postgres'
import { CliError } from '../cli/cli-error.ts'
import { code } from './fill.ts'
import { type Comparison, compare } from './measure.ts'
import { filled, onServer } from './scene.ts'

const sizes = { small: 10_000, large: 10_000_000 }

/** The select of resolve_code as one would write it without any of this: same joins, same conditions, by the index. */
const bareSelect = (key: string) => `
  select c.code, o.name, p.name, m.display_name, o.web_destination, o.ios_destination, o.android_destination, o.android_package
  from referral.codes as c
  join referral.organisations as o on o.id = c.org_id
  join referral.programs as p on p.id = c.program_id
  left join referral.code_quotas as q on q.org_id = c.org_id and q.quota_id = c.quota_id
  left join referral.members as m on m.org_id = c.org_id and m.user_id = c.referrer_id and m.public_name
  where c.code_key = ${key} and c.status = 'active' and (c.expires_at is null or c.expires_at > clock_timestamp())
    and o.active and p.active and (q.used is null or q.used < q.max_uses)`

/** resolve_code beside a bare select, and with many codes beside few. */
export const lookups = () =>
  onServer<Comparison>(async function* (server) {
    const [small, large] = [
      await filled(server, 'small', sizes.small),
      await filled(server, 'large', sizes.large),
    ]
    await requireIndex(large)
    const workload = { url: large, upTo: sizes.large, connections: 1 }
    const bare = { ...workload, statement: bareSelect(code(':n')) }
    const resolve = {
      ...workload,
      statement: `select * from referral.resolve_code(${code(':n')})`,
    }
    const few = { ...resolve, url: small, upTo: sizes.small }
    yield compare(
      'resolve_code beside a bare select with the same joins, 10,000,000 codes',
      0.85,
      resolve,
      bare,
    )
    yield compare('resolve_code with 10,000,000 codes beside 10,000', 0.85, resolve, few)
  })

async function requireIndex(url: string): Promise<void> {
  const sql = postgres(url, { max: 1 })
  const plan = await sql.unsafe(`explain ${bareSelect(code('1'))}`)
  await sql.end()
  const text = plan.map((row) => row['QUERY PLAN']).join('\n')
  if (!text.includes('codes_key_is_unique') || text.includes('Seq Scan on codes'))
    throw new CliError(`Not by the index:\n${text}`)
}
