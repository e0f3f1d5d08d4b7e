/** What most tests are about: an organisation with a program, its people, and codes. */
import { type Actor, operator, person } from './actors.ts'
import type { Sql } from './database.ts'

export type Scene = {
  org: string
  program: string
  admin: Actor
  coordinator: Actor
  mentor: Actor
  friend: Actor
}

/** An organisation with an admin, a coordinator and a mentor, one program, and a friend who is no member. */
export async function scene(sql: Sql, terms: object = { enrolment: 'open' }): Promise<Scene> {
  const [admin, coordinator, mentor, friend] = [person(sql), person(sql), person(sql), person(sql)]
  const slug = `org-${crypto.randomUUID()}`
  const [org] = await operator(sql).rpc('create_organisation', {
    name: 'Org',
    slug,
    admin_id: admin.id,
  })
  const orgId = String(org?.id)
  const [program] = await admin.rpc('create_program', {
    org_id: orgId,
    key: 'friends',
    name: 'Friends',
    terms,
  })
  await admin.rpc('add_member', { org_id: orgId, user_id: coordinator.id, role: 'coordinator' })
  await coordinator.rpc('add_member', { org_id: orgId, user_id: mentor.id })
  return { org: orgId, program: String(program?.id), admin, coordinator, mentor, friend }
}

/** A code of a member, made by themself. */
export async function codeOf(member: Actor, org: string): Promise<{ id: string; code: string }> {
  const [row] = await member.rpc('create_code', { org_id: org })
  return { id: String(row?.id), code: String(row?.code) }
}
