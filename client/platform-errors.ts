import {
  invalidArgument,
  type ReferralError,
  type ReferralErrorCode,
  referralError,
} from './errors.ts'

/** The body of an error response. A gateway's or a proxy's can have any form. */
type ErrorBody = { code?: unknown; message?: unknown; details?: unknown; hint?: unknown }

/** One of our codes, and the message that says what to do. */
type Meaning = readonly [code: ReferralErrorCode, message: string]

const busy: Meaning = ['busy', 'The project is busy. Try again.']
const signIn: Meaning = [
  'not_signed_in',
  'Sign in first. The operator’s calls need the secret key.',
]
const role: Meaning = [
  'misconfigured',
  'This key may not make this call. In an app, use the publishable key and sign in. The operator’s calls need the secret key.',
]
const key: Meaning = [
  'misconfigured',
  'The API key is not of this project, or the secret key in a browser: project settings, API keys.',
]
const address: Meaning = [
  'misconfigured',
  'This is not the project’s address. Pass https://<project>.supabase.co to createClient.',
]
const restricted: Meaning = ['misconfigured', 'The project is paused or restricted.']
const schema: Meaning = [
  'misconfigured',
  'The schema referral is not exposed. Add it to the exposed schemas: project settings, Data API.',
]
const migrations: Meaning = [
  'misconfigured',
  'The database has no such function or table. Apply the migrations of this version: npx supabase db push --remote.',
]

/** What the codes of PostgREST and Postgres mean. */
const byCode: [RegExp, Meaning][] = [
  [/^(PGRST00[0-3]|25006|(08|40|53|55|57|58)...)$/, busy],
  [/^PGRST106$/, schema],
  [/^PGRST125$/, address],
  [/^(PGRST20.|42(P01|703|883)|3F000)$/, migrations],
  [/^PGRST30[1-3]$/, signIn],
  [/^(PGRST10[0-3]|22(P02|P05|0(03|07|08|15|21)))$/, invalidArgument],
]

/** What the status of a response means that has no such code: the gateway's, a proxy's, another server's. */
const byStatus: Record<number, Meaning> = {
  0: ['unreachable', 'No response came. Try again.'],
  204: address,
  401: key,
  402: restricted,
  403: key,
  404: address,
  408: busy,
  413: invalidArgument,
  429: ['rate_limited', 'Too many calls. Try again later.'],
  540: restricted,
}

const unexpected: Meaning = ['unexpected', 'Unknown response. Report it.']

/** SQL's `insufficient_privilege`. The status is 401 for the anonymous role, and 403 for the others. */
const denied = '42501'

/** The error of a response, or, with status 0, of a request without a response, with one of our codes. */
export function toReferralError(body: ErrorBody, status = 0): ReferralError {
  const raised = textOf(body.code)
  if (isOwn(raised, body))
    return referralError(raised, textOf(body.message), textOf(body.details) || null)
  const [code, message] = meaningOf(raised, status)
  return referralError(code, message, whatThePlatformSays(body))
}

/**
 * Whether the database raised the error. Such an error has a lower-case code and `hint: null`, also in later versions of the
 * schema.
 */
const isOwn = (code: string, body: ErrorBody): code is ReferralErrorCode =>
  /^[a-z_]+$/.test(code) && body.hint === null

function meaningOf(code: string, status: number): Meaning {
  if (code === denied) return status === 403 ? role : signIn
  const known = byCode.find(([pattern]) => pattern.test(code))
  if (known) return known[1]
  if (status >= 500) return byStatus[status] ?? busy
  // A code of the database's that is not known.
  if (/^(PGRST.+|[0-9A-Z]{5})$/.test(code)) return unexpected
  return byStatus[status] ?? (status < 400 ? address : unexpected)
}

/** The platform's own code and message, and the cause of a failed request, without its stack. A page is cut off. */
function whatThePlatformSays({ code, message, details }: ErrorBody): string | null {
  const [cause] = /Caused by: .*/.exec(textOf(details)) ?? []
  const said = [textOf(code), textOf(message), cause].filter(Boolean).join(': ')
  return said.slice(0, 300) || null
}

const textOf = (value: unknown) =>
  typeof value === 'string' || typeof value === 'number' ? String(value) : ''
