/**
 * supabase-js wants a newer Node than the commands need: without a WebSocket it makes no client, though nothing here opens
 * one, and it warns each time that it is loaded. This file comes before it.
 */
if (!('WebSocket' in globalThis)) {
  Object.assign(globalThis, { WebSocket: class {} })
  const { warn } = console
  console.warn = (...parts: unknown[]) => {
    if (!String(parts[0]).includes('@supabase/supabase-js')) warn(...parts)
  }
}
