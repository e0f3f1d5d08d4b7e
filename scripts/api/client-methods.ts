import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from '../stack/root.ts'

/** The clients' methods that call each RPC, by the RPC's name, as client/*.ts has them. */
export async function clientMethods(): Promise<Map<string, string[]>> {
  const methods = new Map<string, string[]>()
  const files = (await readdir(join(root, 'client'))).filter((name) => name.endsWith('.ts')).sort()
  for (const file of files) {
    const client = ['staff', 'operator'].find((name) => file.startsWith(name)) ?? 'referrals'
    const text = await readFile(join(root, 'client', file), 'utf8')
    let method = ''
    for (const [, name, rpc] of text.matchAll(
      /^ {4}(?:async )?(\w+)[(:]|\b(?:rpc|list)\(\s*'(\w+)'/gm,
    )) {
      method = name ?? method
      if (rpc) methods.set(rpc, [...(methods.get(rpc) ?? []), `${client}.${method}`])
    }
  }
  return methods
}
