// Preloaded into each edge function's Deno: ends it when the stack that started it is gone, even by kill -9. Standard
// input is a pipe that nobody writes to; it ends with the process that holds its other side.
const buffer = new Uint8Array(1)
const watch = setInterval(async () => {
  const read = await Deno.stdin.read(buffer)
  if (read === null) Deno.exit(0)
}, 500)
Deno.unrefTimer(watch)
