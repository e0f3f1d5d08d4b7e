export type QrFormat = 'svg' | 'png'

/** The edge of the image in pixels, and the quiet zone in modules. The standard requires four. */
export type QrSettings = { size: number; margin: number }

const bounds = {
  size: { min: 256, max: 1_024, default: 320 },
  margin: { min: 0, max: 16, default: 4 },
}

/** Reads `size` and `margin` of a query. Null if one is not a whole number within its bounds. */
export function qrSettingsOf(query: string): QrSettings | null {
  const parameters = new URLSearchParams(query)
  const number = (name: keyof typeof bounds) => {
    const { min, max, default: usual } = bounds[name]
    const text = parameters.get(name)
    if (text === null) return usual
    return /^\d{1,4}$/.test(text) && Number(text) >= min && Number(text) <= max
      ? Number(text)
      : null
  }
  const [size, margin] = [number('size'), number('margin')]
  return size === null || margin === null ? null : { size, margin }
}

/** Draws a QR code of the text, with error correction M. The first drawing loads what draws it: no redirect waits for that. */
export function drawQr(format: QrFormat, text: string, settings: QrSettings): Promise<BodyInit> {
  return format === 'svg' ? drawSvg(text, settings) : drawPng(text, settings)
}

async function drawSvg(text: string, { size, margin }: QrSettings): Promise<string> {
  const { renderSVG } = await import('uqr')
  const svg = renderSVG(text, { ecc: 'M', border: margin, pixelSize: 1 })
  return svg.replace('<svg ', `<svg width="${size}" height="${size}" shape-rendering="crispEdges" `)
}

/** Modules are whole pixels, as large as fit. The remaining pixels widen the quiet zone. */
async function drawPng(text: string, settings: QrSettings): Promise<Uint8Array<ArrayBuffer>> {
  const [{ encode: encodeQr }, { encode: encodePng }] = await Promise.all([
    import('uqr'),
    import('fast-png'),
  ])
  const { size, margin } = settings
  const { data: modules, size: count } = encodeQr(text, { ecc: 'M', border: 0 })
  const scale = Math.max(1, Math.floor(size / (count + 2 * margin)))
  const offset = Math.floor((size - scale * count) / 2)
  const pixels = new Uint8Array(size * size).fill(255)
  for (let y = 0; y < scale * count; y++) {
    const row = modules[Math.floor(y / scale)] ?? []
    for (let x = 0; x < scale * count; x++) {
      if (row[Math.floor(x / scale)]) pixels[(y + offset) * size + x + offset] = 0
    }
  }
  return Uint8Array.from(
    encodePng({ width: size, height: size, channels: 1, depth: 8, data: pixels }),
  )
}
