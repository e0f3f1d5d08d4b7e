// Preloaded into each edge function's Deno: ends it when the stack that started it ends, even by kill -9. Standard input
// is an empty pipe, which closes when the stack's process ends.
const buffer = new Uint8Array(1)
const watch = setInterval(async () => {
  const read = await Deno.stdin.read(buffer)
  if (read === null) Deno.exit(0)
}, 500)
Deno.unrefTimer(watch)
