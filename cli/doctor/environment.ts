import { findProject, type Project } from '../project.ts'
import { compareClocks } from './clocks.ts'
import { type Line, ok, unchecked, wrong } from './line.ts'
import { request } from './request.ts'

/** Is the environment set, does the project respond, and do the clocks agree? No project if the rest cannot be checked. */
export async function checkEnvironment(): Promise<{ lines: Line[]; project?: Project }> {
  const { project, faults } = findProject(process.env, 10_000)
  if (!project) {
    const remedy = 'Set it in the environment, or name a file that sets it: --env-file FILE.'
    return { lines: faults.map((fault) => wrong('variables', fault, remedy)) }
  }
  const { url, key } = project
  const lines = [ok('variables', 'SUPABASE_URL and SUPABASE_SECRET_KEY are set.')]
  const started = Date.now()
  const { response, failure } = await request(`${url}/rest/v1/`, { headers: { apikey: key } })
  if (!response) {
    const remedy =
      'Is SUPABASE_URL right, and does the project run? A paused one is restored in the dashboard.'
    return { lines: [...lines, wrong('reachable', `${url} does not respond: ${failure}.`, remedy)] }
  }
  lines.push(ok('reachable', `${url} responds.`))
  return { lines: [...lines, clock(response, started)], project }
}

function clock(response: Response, started: number): Line {
  const said = Date.parse(response.headers.get('date') ?? '')
  return Number.isNaN(said)
    ? unchecked('clocks', 'The project does not say its time.', 'Compare the clocks yourself.')
    : compareClocks('clocks', 'the project', said, { started, ended: Date.now() })
}
