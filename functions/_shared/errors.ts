/** The errors of the edge functions: code, HTTP status and message. docs/errors.md explains them. */
export const functionErrors = {
  method_not_allowed: [405, 'This method is not allowed here.'],
  body_too_large: [413, 'The body is larger than 1 MiB.'],
  body_incomplete: [400, 'The connection ended before the body did. Send it again.'],
  invalid_signature: [400, 'The signature is missing or not valid.'],
  invalid_body: [400, 'The body is not a Stripe event.'],
  wrong_mode: [400, 'This endpoint takes events of the other mode: live or test.'],
  link_not_found: [404, 'There is no such link.'],
  invalid_qr_settings: [400, 'size is a whole number from 256 to 1024, margin one from 0 to 16.'],
  rate_limited: [429, 'Too many requests within this minute.'],
  unavailable: [503, 'The database does not respond.'],
  internal_error: [500, 'The event could not be stored. Send it again.'],
} as const satisfies Record<string, readonly [status: number, message: string]>

export type FunctionErrorCode = keyof typeof functionErrors

/** An error response in PostgREST's shape: `{ code, message, details, hint }`. */
export function errorResponse(
  code: FunctionErrorCode,
  headers: Record<string, string> = {},
): Response {
  const [status, message] = functionErrors[code]
  return Response.json({ code, message, details: null, hint: null }, { status, headers })
}
