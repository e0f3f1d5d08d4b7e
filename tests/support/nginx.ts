/** Debian's nginx, run on docs/hosts/nginx.conf with only the addresses and files of a machine changed. */
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { freePort } from '../../scripts/stack/ports.ts'
import { makeCertificate } from './certificate.ts'

type Settings = {
  functionUrl: string
  secret: string
  /** The certificates by which it knows the functions, where they are reached by TLS. */
  trusted?: string
}

/** Debian puts it where only root looks for programs. */
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` }

/** Starts it and waits until it listens: `port` by TLS, `plainPort` without; `log` is what it wrote down. */
export async function startNginx({ functionUrl, secret, trusted }: Settings) {
  if (spawnSync('nginx', ['-v'], { env }).error)
    throw new Error('nginx is missing: install it, on Debian with "apt-get install nginx"')
  const folder = mkdtempSync(join(tmpdir(), 'referbase-nginx-'))
  chmodSync(folder, 0o755)
  const [port, plainPort] = [await freePort(), await freePort()]
  const certificate = makeCertificate(folder)
  writeFileSync(join(folder, 'secret.conf'), `set $referral_secret "${secret}";\n`)
  writeFileSync(
    join(folder, 'site.conf'),
    changed(readFileSync('docs/hosts/nginx.conf', 'utf8'), {
      'listen 80;': `listen 127.0.0.1:${plainPort};`,
      'listen [::]:80;': '',
      'listen 443 ssl;': `listen 127.0.0.1:${port} ssl;`,
      'listen [::]:443 ssl;': '',
      '/etc/letsencrypt/live/go.example.org/fullchain.pem': certificate.file,
      '/etc/letsencrypt/live/go.example.org/privkey.pem': certificate.key,
      'https://YOUR-PROJECT.supabase.co/functions/v1/referbase-link': functionUrl,
      '/etc/nginx/referral-secret.conf': join(folder, 'secret.conf'),
      '/var/log/nginx/error.log': join(folder, 'site.log'),
      '/etc/ssl/certs/ca-certificates.crt': trusted ?? certificate.file,
    }),
  )
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join(' ')
  const main = `daemon off; pid ${folder}/pid; error_log ${folder}/error.log; events {}
http { ${temporary} include ${folder}/site.conf; }`
  writeFileSync(join(folder, 'nginx.conf'), main)

  const child = spawn('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let errors = ''
  child.stderr.on('data', (chunk) => {
    errors += chunk
  })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const stop = async () => {
    child.kill('SIGTERM')
    await ended
    rmSync(folder, { recursive: true })
  }
  while (!(await listens(port))) {
    if (child.exitCode !== null) throw new Error(`nginx did not start: ${errors}`)
    await setTimeout(20)
  }
  const log = () =>
    ['error.log', 'site.log'].map((name) => readFileSync(join(folder, name), 'utf8'))
  return { port, plainPort, stop, log }
}

/** Replaces each text, and fails where one is not there: a test of another file would prove nothing. */
function changed(text: string, changes: Record<string, string>): string {
  return Object.entries(changes).reduce((result, [from, to]) => {
    if (!result.includes(from)) throw new Error(`docs/hosts/nginx.conf has no ${from}`)
    return result.replaceAll(from, to)
  }, text)
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
