/** Whether STRIPE_SECRET_KEY is of live mode; null if its form does not say so. */
export function keyLivemode(environment: NodeJS.ProcessEnv = process.env): boolean | null {
  const [, mode] = /^[sr]k_(?:org_)?(live|test)_/.exec(environment.STRIPE_SECRET_KEY ?? '') ?? []
  return mode === undefined ? null : mode === 'live'
}
