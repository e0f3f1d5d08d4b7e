import { referrer } from './fill.ts'
import { type Comparison, compare } from './measure.ts'
import { as, filled, onServer } from './scene.ts'

/**
 * rotate_code of one referrer on 32 connections, which queue up, beside the same on many referrers. Staff rotate: members
 * are limited to some rotations in a day.
 */
export const rotation = () =>
  onServer<Comparison>(async function* (server) {
    const url = await filled(server, 'rotation', 10_000)
    const statement = as(
      'bench.admin_id()',
      `referral.rotate_code(bench.org_id(), ${referrer(':n')})`,
    )
    const workload = { url, statement, connections: 32 }
    yield compare(
      'rotate_code, 32 connections, one referrer beside 10,000',
      0.25,
      { ...workload, upTo: 1 },
      { ...workload, upTo: 10_000 },
    )
  })
