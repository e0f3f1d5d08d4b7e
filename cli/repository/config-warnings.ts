/** What `supabase/config.toml` says on purpose, perhaps, and what keeps referbase from working. */
import { parse } from 'smol-toml'

/** A sentence for each: they are the adopter's to change. */
export function configWarnings(text: string, functions: string[]): string[] {
  const config = parse(text.replace(/^\ufeff/, '')) as Config
  const disabled = functions
    .filter((name) => config.functions?.[name]?.enabled === false)
    .map(
      (name) =>
        `supabase/config.toml has enabled = false in [functions.${name}]: it is neither deployed nor served. Remove the line to use it.`,
    )
  const remotes = Object.entries(config.remotes ?? {})
    .filter(([, { api }]) => api?.schemas && !api.schemas.includes('referral'))
    .map(
      ([name]) =>
        `supabase/config.toml names schemas of its own in [remotes.${name}.api]. Add "referral" to them.`,
    )
  return [...disabled, ...remotes]
}

type Config = {
  functions?: Record<string, { enabled?: boolean }>
  remotes?: Record<string, { api?: { schemas?: string[] } }>
}
