/** The global that Supabase’s runtime adds to Deno’s. */
const { EdgeRuntime } = globalThis as {
  EdgeRuntime?: { waitUntil: (promise: Promise<void>) => void }
}

/** Keeps a function alive until this is done, though the response is sent. */
export const waitUntil = (promise: Promise<void>): void => EdgeRuntime?.waitUntil(promise)
