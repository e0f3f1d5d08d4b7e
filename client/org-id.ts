/** The organisation of a client. Throws if there is none, and for an option besides it and `other`. */
export function requireOrgId(name: string, options: { orgId: string }, other?: string): string {
  if (!options?.orgId) throw new TypeError(`${name}: orgId: required`)
  for (const key in options)
    if (key !== 'orgId' && key !== other) throw new TypeError(`${key}: no such option`)
  return options.orgId
}
