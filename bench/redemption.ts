import { code } from './fill.ts'
import { type Comparison, compare } from './measure.ts'
import { as, filled, onServer } from './scene.ts'

const codes = 10_000

/**
 * redeem_code on one code, without and with a limit. The limited one is measured with as many connections as there are
 * cores: a redemption is much more work than an update, and with more they compete for the cores, not for the row.
 */
export const redemption = () =>
  onServer<Comparison>(async function* (server) {
    const [unlimited, limited] = [
      await filled(server, 'unlimited', codes),
      await filled(server, 'limited', codes, codes),
    ]
    const redeem = {
      statement: as('gen_random_uuid()', `referral.redeem_code(${code(':n')})`),
      connections: 8,
    }
    yield compare(
      'redeem_code, 8 connections, one unlimited code beside 10,000',
      0.7,
      { ...redeem, url: unlimited, upTo: 1 },
      { ...redeem, url: unlimited, upTo: codes },
    )
    const bareUpdate = `
      update referral.code_quotas set used = used + 1
      where org_id = bench.org_id() and quota_id = bench.first_quota_id() and used < max_uses`
    yield compare(
      'redeem_code, 2 connections, one limited code beside a bare conditional update of one row',
      0.4,
      { ...redeem, url: limited, upTo: 1, connections: 2 },
      { url: limited, statement: bareUpdate, upTo: 1, connections: 2 },
    )
  })
