// Preloaded into the Deno of a project's own function: what Supabase's runtime has, and Deno has not.
Object.assign(globalThis, {
  EdgeRuntime: { waitUntil: (promise: Promise<unknown>) => promise.catch(console.error) },
})
