import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

/** Makes a certificate for a name that signs itself, and its key, as files in the folder. */
export function makeCertificate(folder: string, name = '127.0.0.1'): { file: string; key: string } {
  const [file, key] = [join(folder, 'certificate.pem'), join(folder, 'key.pem')]
  const { status, stderr } = spawnSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`, '-days', '1'],
      ...['-keyout', key, '-out', file],
    ],
    { encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(`openssl made no certificate: ${stderr}`)
  return { file, key }
}
