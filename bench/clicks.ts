import { execute } from '../scripts/stack/database.ts'
import { code } from './fill.ts'
import { type Comparison, compare } from './measure.ts'
import { filled, onServer } from './scene.ts'

const codes = 10_000

/** A click on the nth code, by a visitor of its own. */
export const clickOn = (n: string) => `
  referral.record_click(
    ${code(n)}, gen_random_uuid(), '198.51.100.7', gen_random_uuid()::text, 'ios', 'qr', '{"utm_source": "fair"}'
  )`

/**
 * record_click of visitors who differ, on many codes beside a bare insert of the row that it stores, and on one code, whose
 * clicks are counted side by side. There are clicks before, as on any day but the first.
 */
export const clicks = () =>
  onServer<Comparison>(async function* (server) {
    const url = await filled(server, 'clicks', codes)
    await execute(
      url,
      `
      select referral.maintain_clicks();
      update referral.organisations set clicks_per_code = 10000000;
      create table bench.clicks (like referral_private.clicks including defaults including indexes);
      select count(${clickOn('n')}) from generate_series(1, ${codes}) as n;
      analyze referral_private.clicks, referral_private.click_days, referral_private.visitors;`,
    )
    const record = { url, connections: 8, statement: `select ${clickOn(':n')}` }
    yield compare(
      'record_click, 8 connections, beside a bare insert of its row',
      0.5,
      { ...record, upTo: codes },
      {
        url,
        connections: 8,
        upTo: codes,
        statement: `
          insert into bench.clicks values (
            bench.org_id(), gen_random_uuid(), gen_random_uuid(), clock_timestamp(),
            true, 'ios', 'qr', '{"utm_source": "fair"}'
          )`,
      },
    )
    yield compare(
      'record_click, 8 connections, one code beside 10,000',
      0.7,
      { ...record, upTo: 1 },
      { ...record, upTo: codes },
    )
  })
