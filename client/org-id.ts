/** The organisation of a client. Throws if there is none. */
export function requireOrgId(name: string, options: { orgId: string }): string {
  if (!options?.orgId) throw new TypeError(`Pass the organisation: ${name}(supabase, { orgId })`)
  return options.orgId
}
