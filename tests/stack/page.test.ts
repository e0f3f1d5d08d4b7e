/** A page in a browser: two people, a QR code between them, and a redemption. The page is tests/fixtures/page. */
import { decode } from 'fast-png'
import readQr from 'jsqr'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { freePort } from '../../scripts/stack/ports.ts'
import { startChromium } from '../support/chromium.ts'
import { sceneOverHttp } from '../support/http.ts'
import { startPage } from '../support/page.ts'

const { SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, FUNCTIONS_URL } = inject('stack')
const address = `http://127.0.0.1:${await freePort()}/welcome`
/** What browsers report: errors, and requests that leave this machine. */
const faults: string[] = []
let browser: Browser
const stops: (() => Promise<void>)[] = []

beforeAll(async () => {
  const { org, admin } = await sceneOverHttp()
  const changes = { web_destination: address }
  await admin.supabase.rpc('update_organisation', { org_id: org, changes }).throwOnError()
  const variables = { SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, ORG_ID: org }
  const page = await startPage(address, variables)
  stops.push(page.stop)
  browser = await startChromium()
  stops.push(() => browser.close())
})
afterAll(() => Promise.all(stops.map((stop) => stop())))

/** A person with a browser of their own. */
async function newVisitor(): Promise<Page> {
  const page = await (await browser.newContext()).newPage()
  page.setDefaultTimeout(30_000)
  page.on('pageerror', (error) => faults.push(String(error)))
  page.on('console', (line) => line.type() === 'error' && faults.push(line.text()))
  page.on('request', (request) => {
    const { hostname, protocol } = new URL(request.url())
    if (hostname !== '127.0.0.1' && protocol !== 'data:') faults.push(request.url())
  })
  return page
}

async function signUp(page: Page): Promise<void> {
  await page.getByLabel('E-mail').fill(`${crypto.randomUUID()}@example.org`)
  await page.getByLabel('Password').fill(crypto.randomUUID())
  await page.getByRole('button', { name: 'Sign up' }).click()
  const account = page.locator('#account').waitFor()
  await account.catch(({ message }) => expect.fail(`${message}\n${faults.join('\n')}`))
}

/** What a phone reads from the screen. */
async function scan(page: Page): Promise<string | undefined> {
  const image = page.getByAltText('QR code of your link')
  await image.evaluate((element) => (element as HTMLImageElement).decode())
  const { data, width, height, channels } = decode(await image.screenshot())
  expect(channels).toBe(3)
  const pixels = new Uint8ClampedArray(width * height * 4).map((_, i) =>
    i % 4 === 3 ? 255 : Number(data[Math.floor(i / 4) * 3 + (i % 4)]),
  )
  return readQr.default(pixels, width, height)?.data
}

test('a person shows their code, another scans it, signs up and is their referral', async () => {
  const referrer = await newVisitor()
  await referrer.goto(address)
  await signUp(referrer)
  const link = String(await referrer.locator('#link').textContent())
  expect(link.startsWith(`${FUNCTIONS_URL}/referbase-link/`)).toBe(true)
  expect(await scan(referrer)).toBe(`${link}?via=qr`)

  const friend = await newVisitor()
  await friend.goto(`${link}?via=qr`)
  const code = link.split('/').at(-1)
  expect(friend.url().replace(/&click=.*/, '')).toBe(`${address}?ref=${code}`)
  await signUp(friend)
  expect(await friend.locator('#message').textContent()).toBe(`You were invited with ${code}.`)
  expect(await friend.locator('#link').textContent()).not.toBe(link)

  expect(await referrer.locator('#referrals li').count()).toBe(0)
  await referrer.reload()
  await referrer.locator('#account').waitFor()
  expect(await referrer.locator('#referrals li').allTextContents()).toEqual(['pending'])
  expect(faults).toEqual([])
})
