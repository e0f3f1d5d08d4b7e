/** A token that names nobody is no person: what people do for themselves is refused. */
import { expect, test } from 'vitest'
import { person, refusal } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { codeOf, type Scene, scene } from '../support/scene.ts'

const sql = await testDatabase()

const calls: [rpc: string, args: (made: Scene & { code: string }) => Record<string, unknown>][] = [
  ['redeem_code', ({ code }) => ({ code })],
  ['get_or_create_code', ({ org }) => ({ org_id: org })],
  ['set_my_name', ({ org }) => ({ org_id: org, display_name: 'Me' })],
]

test.for(calls)('%s is not_signed_in', ([rpc, args]) =>
  undone(sql, async (tx) => {
    const people = await scene(tx)
    const { code } = await codeOf(people.mentor, people.org)
    const call = person(tx, undefined, { sub: undefined }).rpc(rpc, args({ ...people, code }))
    expect(await refusal(call)).toBe('not_signed_in')
  }),
)
