import { z } from 'zod'
import { isPublishableKey } from '../functions/_shared/secret-key.ts'
import { CliError } from './cli-error.ts'
import { connect, type ReferralDatabase } from './database.ts'
import { timedFetch } from './timed-fetch.ts'

/** The Supabase project that a command works on. */
export type Project = {
  /** Its address, without a slash at the end. */
  url: string
  /** The secret key. */
  key: string
  publishableKey: string | undefined
  /** The address of the edge functions, without a slash at the end. */
  functionsUrl: string
  /** A client with the secret key: the operator. */
  database: ReferralDatabase
}

/** What the documents print in the place of a value. */
const isPlaceholder = (value: string) => /…|\.\.\.|[<>]|YOUR[-_ ]/.test(value)

const given = (why: string) =>
  z.string().refine((value) => !isPlaceholder(value), { abort: true, error: why })
const address = (variable: string, example: string) =>
  given(`${variable} is a placeholder. Set it to an address such as ${example}.`)
    .refine((value) => z.url({ protocol: /^https?$/ }).safeParse(value).success, {
      error: `${variable} is not an address such as ${example}.`,
    })
    .transform((value) => value.replace(/\/+$/, ''))

const hosted = 'https://abcdefghijklmnopqrst.supabase.co'
const isPublishable =
  'SUPABASE_SECRET_KEY is the publishable key. Set it to the secret key, which begins with sb_secret_.'
const variables = z.object({
  SUPABASE_URL: address('SUPABASE_URL', hosted),
  SUPABASE_SECRET_KEY: z
    .string()
    .refine((key) => !isPublishableKey(key), { abort: true, error: isPublishable })
    .pipe(given('SUPABASE_SECRET_KEY is a placeholder. Set it to the secret key of your project.')),
  SUPABASE_PUBLISHABLE_KEY: given(
    'SUPABASE_PUBLISHABLE_KEY is a placeholder. Set it to the publishable key of your project, or remove it.',
  ).optional(),
  FUNCTIONS_URL: address('FUNCTIONS_URL', `${hosted}/functions/v1`).optional(),
})

/**
 * The project of an environment, or what is wrong with its variables, a sentence each. A request of its client ends after
 * `timeout` milliseconds.
 */
export function findProject(
  environment: NodeJS.ProcessEnv = process.env,
  timeout = 120_000,
): { project: Project; faults?: never } | { project?: never; faults: string[] } {
  const set = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''))
  const missing = ['SUPABASE_URL', 'SUPABASE_SECRET_KEY'].filter((name) => set[name] === undefined)
  const needed = missing.length > 0 ? [`Set ${missing.join(' and ')} in the environment.`] : []
  const { data, error } = variables.safeParse(set)
  if (!data) {
    const wrong = error.issues.filter(({ path }) => !missing.includes(String(path[0])))
    return { faults: [...needed, ...wrong.map(({ message }) => message)] }
  }
  const { SUPABASE_URL: url, SUPABASE_SECRET_KEY: key, FUNCTIONS_URL } = data
  return {
    project: {
      url,
      key,
      publishableKey: data.SUPABASE_PUBLISHABLE_KEY,
      functionsUrl: FUNCTIONS_URL ?? `${url}/functions/v1`,
      database: connect(url, key, timedFetch(timeout)),
    },
  }
}

/** The project from SUPABASE_URL, SUPABASE_SECRET_KEY, SUPABASE_PUBLISHABLE_KEY and FUNCTIONS_URL. */
export function readProject(): Project {
  const { project, faults } = findProject()
  if (project) return project
  throw new CliError(faults.join('\n'))
}
