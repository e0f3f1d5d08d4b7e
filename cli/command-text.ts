/** Commands that a person copies: they run in a folder that has the package, without a global installation. */
export const commandText = {
  referbase: (rest: string): string => `npx --no-install referbase ${rest}`,
  supabase: (rest: string): string => `npx supabase ${rest}`,
}
