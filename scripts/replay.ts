/**
 * `npm run replay -- SOURCE TARGET`: rebuilds facts and ledger in an empty migrated database from the data that cannot be
 * derived: the inbox, the records of other providers, organisations, programs with their terms and switches, codes,
 * redemptions and decisions of staff. Then it compares all balances with the source. Both are Postgres URLs of the schema's
 * owner.
 */
import postgres from 'postgres'
import { CliError, runMain } from './stack/cli-error.ts'

/** The tables that are copied unchanged, in the order of their references. */
const copied = [
  'referral.organisations',
  'referral.members',
  'referral.programs',
  'referral.program_terms',
  'referral_private.switches',
  'referral.code_quotas',
  'referral.codes',
  'referral.redemptions',
]

const usage = 'npm run replay -- SOURCE TARGET'

await runMain(async () => {
  const [from, to, ...more] = process.argv.slice(2)
  if (!from || !to || more.length) throw new CliError(`Two databases are needed: ${usage}`)
  const source = connect(from)
  const target = connect(to)
  try {
    const [row] = await target`select exists (select from referral.organisations) as used`
    if (row?.used) throw new CliError('The target is not empty.')
    await copyAges(source, target)
    for (const table of copied) await copy(source, target, table)
    // The replay confirms by payments again. Decisions of staff are kept.
    await target`
      update referral.redemptions set status = 'pending', confirmed_at = null where decision is null and status <> 'expired'`
    const events = await replayEvents(source, target)
    const records = await replayRecords(source, target)
    const differences = await compare(source, target)
    process.stdout.write(
      `${events} events and ${records} records replayed, ${differences.length} differences\n`,
    )
    if (differences.length) throw new CliError(differences.slice(0, 20).join('\n'))
  } finally {
    await Promise.all([source.end(), target.end()])
  }
})

function connect(url: string): postgres.Sql {
  return postgres(url, { max: 1, onnotice: () => {} })
}

/** Copies when users were created, also deleted users, because programs for new users read it. */
async function copyAges(source: postgres.Sql, target: postgres.Sql): Promise<void> {
  const users = await source`
    select id, created_at::text from auth.users
    union
    select user_id, min(user_created_at)::text from referral_private.payer_users
    where user_created_at is not null and user_id not in (select id from auth.users)
    group by user_id`
  await target`
    insert into auth.users (id, created_at)
    select id, created_at from jsonb_to_recordset(${target.json([...users])}) as u (id uuid, created_at timestamptz)`
}

/** Copies a table's rows without its triggers, which ran in the source already. */
async function copy(source: postgres.Sql, target: postgres.Sql, table: string): Promise<void> {
  const columns = (
    await source<{ name: string }[]>`
      select attname as name from pg_attribute
      where attrelid = ${table}::regclass and attnum > 0 and not attisdropped and attgenerated = ''`
  ).map(({ name }) => name)
  await target.unsafe(`alter table ${table} disable trigger user`)
  const rows = `select to_jsonb(t) as row from (select ${columns.join(', ')} from ${table}) as t`
  await target.begin(async (tx) => {
    await tx`set constraints all deferred`
    for await (const page of source.unsafe(rows).cursor(1000)) {
      await tx.unsafe(
        `insert into ${table} (${columns.join(', ')}) overriding system value
         select ${columns.map((column) => `r.${column}`).join(', ')}
         from jsonb_array_elements($1) as given, jsonb_populate_record(null::${table}, given) as r`,
        [tx.json(page.map(({ row }) => row)) as never],
      )
    }
  })
  await target.unsafe(`alter table ${table} enable trigger user`)
}

async function replayEvents(source: postgres.Sql, target: postgres.Sql): Promise<number> {
  let count = 0
  const inbox = source`
    select e.status, e.body_sha256, e.event, p.event as parked, r.event as resolved
    from referral_private.stripe_events as e
    left join referral_private.parked_events as p using (stripe_account, livemode, event_id)
    left join referral_private.resolved_events as r using (stripe_account, livemode, event_id)
    order by e.received_at`.cursor(500)
  for await (const rows of inbox) {
    for (const { status, body_sha256, event, parked, resolved } of rows) {
      const given = status === 'parked' ? (resolved ?? { ...parked, parked: event.parked }) : event
      await target`select referral.ingest_stripe_event(${target.json({ ...given, body_sha256 })})`
      count += 1
    }
  }
  return count
}

async function replayRecords(source: postgres.Sql, target: postgres.Sql): Promise<number> {
  const records = await source`
    select * from referral_private.recorded_facts order by recorded_at`
  for (const { org_id, kind, provider, ref, content } of records) {
    if (kind === 'payment')
      await target`
        select referral.record_payment(
          ${org_id}, ${provider}, ${ref}, ${content.referee_id}, ${content.amount}, ${content.currency}, ${content.tax},
          to_timestamp(${content.paid_at}), ${content.program_id}
        )`
    else if (kind === 'refund')
      await target`
        select referral.record_refund(${org_id}, ${provider}, ${ref}, ${content.payment_ref}, ${content.amount})`
    else await target`select referral.record_refund_reversed(${org_id}, ${provider}, ${ref})`
  }
  return records.length
}

/** Compares all balances and all redemptions, after every due commission is released in both databases. */
async function compare(source: postgres.Sql, target: postgres.Sql): Promise<string[]> {
  const standing = async (sql: postgres.Sql) => {
    for (let due = 1; due > 0; ) {
      const [row] = await sql`select referral.release_due_commissions() as due`
      due = Number(row?.due)
    }
    const rows = await sql`
      select concat_ws(' ', org_id, stripe_account, livemode, sale_id, earner_id, kind, currency, amount) as line
      from referral_private.postings where amount > 0
      union all
      select concat_ws(' ', org_id, id, status, confirmed_at at time zone 'UTC') from referral.redemptions`
    return new Set(rows.map(({ line }) => String(line)))
  }
  const [there, here] = [await standing(source), await standing(target)]
  return [
    ...[...there].filter((line) => !here.has(line)).map((line) => `only in the source: ${line}`),
    ...[...here].filter((line) => !there.has(line)).map((line) => `only in the target: ${line}`),
  ]
}
