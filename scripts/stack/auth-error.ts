/** A refusal in the form of Supabase Auth's. */
export function authError(status: number, code: string, msg: string): Response {
  return Response.json(
    { code: status, error_code: code, msg },
    { status, headers: { 'x-sb-error-code': code } },
  )
}
