/** The templates of CONTRIBUTING.md run as they are printed, and the generator accepts the function. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { readFaces } from '../../scripts/api/faces.ts'
import { wrappersOf } from '../../scripts/api/wrappers.ts'
import { refusal } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { raisedErrors } from '../support/raised-errors.ts'
import { scene } from '../support/scene.ts'

const sql = await testDatabase()
const templates = [
  ...readFileSync('CONTRIBUTING.md', 'utf8').matchAll(/^```sql\n(.*?)^```$/gms),
].map(([, text]) => String(text))

test('the table and the function of the templates work, with the errors that their comment states', () =>
  undone(sql, async (tx) => {
    for (const template of templates) await tx.unsafe(template)
    const face = (await readFaces(tx)).find(({ name }) => name === 'add_member_note')
    await tx.unsafe(wrappersOf(face ? [face] : []))

    const { org, coordinator, mentor, friend } = await scene(tx)
    const note = { org_id: org, user_id: mentor.id, text: 'Called on Monday.' }
    expect(await coordinator.rpc('add_member_note', note)).toMatchObject([note])
    expect(await refusal(mentor.rpc('add_member_note', note))).toBe('not_allowed')
    expect(await refusal(coordinator.rpc('add_member_note', { ...note, text: '' }))).toBe(
      'invalid_argument',
    )
    expect(await mentor.run('select from referral.member_notes')).toHaveLength(0)
    expect(await coordinator.run('select from referral.member_notes')).toHaveLength(1)
    expect(await refusal(friend.rpc('add_member_note', note))).toBe('not_a_member')
    const raised = (await raisedErrors(tx)).get('add_member_note')
    expect([...(raised ?? [])].sort()).toEqual(face?.errors.toSorted())
  }))
