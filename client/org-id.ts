/** The organisation of a client. Throws if there is none, or an option besides it and `other`. */
export function requireOrgId(name: string, options: { orgId: string }, other?: string): string {
  if (!options?.orgId) throw new TypeError(`Pass the organisation: ${name}(supabase, { orgId })`)
  for (const option in options)
    if (option !== 'orgId' && option !== other)
      throw new TypeError(`${name}: no such option: ${option}`)
  return options.orgId
}
