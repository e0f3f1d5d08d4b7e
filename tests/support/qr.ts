/** Reads a QR code by a decoder and a renderer that know nothing of the encoder. */
import { readFileSync } from 'node:fs'
import { initWasm, Resvg } from '@resvg/resvg-wasm'
import decoder from 'jsqr'

const ready = initWasm(
  readFileSync(new URL(import.meta.resolve('@resvg/resvg-wasm/index_bg.wasm'))),
)

/** What the image of a response says, and its size in pixels. */
export async function readQr(response: Response) {
  await ready
  const image = Buffer.from(await response.arrayBuffer())
  const size = /width="(\d+)"/.exec(image.toString('latin1'))?.[1] ?? image.readUInt32BE(16)
  const isPng = response.headers.get('content-type') === 'image/png'
  const inSvg = `<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}"><image width="${size}" height="${size}" href="data:image/png;base64,${image.toString('base64')}"/></svg>`
  const { pixels, width, height } = new Resvg(isPng ? inSvg : image.toString()).render()
  return {
    text: decoder.default(new Uint8ClampedArray(pixels), width, height)?.data,
    width,
    height,
  }
}
