const limit = 1024 * 1024

/**
 * Reads the body. Returns the error instead if the body is larger than 1 MiB, where reading stops, or if the connection ends
 * before the body does.
 */
export async function readBody(
  request: Request,
): Promise<Uint8Array | 'body_too_large' | 'body_incomplete'> {
  const chunks: Uint8Array[] = []
  let size = 0
  try {
    for await (const chunk of request.body ?? []) {
      size += chunk.length
      if (size > limit) return 'body_too_large'
      chunks.push(chunk)
    }
  } catch {
    return 'body_incomplete'
  }
  const body = new Uint8Array(size)
  let offset = 0
  for (const chunk of chunks) {
    body.set(chunk, offset)
    offset += chunk.length
  }
  return body
}
