/** A code whose link is followed. */
import { type Actor, operator } from './actors.ts'
import type { Sql } from './database.ts'
import { codeOf, scene } from './scene.ts'

export const visitor = { address: '198.51.100.7', user_agent: 'Mozilla/5.0 (iPhone)' }

/** A scene with a code of the mentor's, and what can be done with its link. */
export async function linkScene(sql: Sql) {
  const here = await scene(sql)
  const code = await codeOf(here.mentor, here.org)
  return {
    ...here,
    ...code,
    /** Records a click of one visitor on the code, unless told otherwise, and says whether it counts. */
    click: (given: object = {}) => recordClick(sql, { code: code.code, ...visitor, ...given }),
    /** Records a click and gives its id. */
    clicked: async (given: object = {}) => {
      const click_id = crypto.randomUUID()
      await recordClick(sql, { code: code.code, click_id, ...visitor, ...given })
      return click_id
    },
    stored: () => sql`
      select * from referral_private.clicks where org_id = ${here.org} order by clicked_at`,
  }
}

/** Records a click as the edge function does, and says whether it counts. */
export async function recordClick(sql: Sql, given: object): Promise<unknown> {
  const args = { click_id: crypto.randomUUID(), ...given }
  const [answer] = await operator(sql).rpc('record_click', args)
  return answer?.record_click
}

/** Redeems with a click, as an app does that was opened by a link. */
export const redeem = (who: Actor, args: object) =>
  who.rpc('redeem_code', { provenance: 'link', ...args })
