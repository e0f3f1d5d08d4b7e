/**
 * `npm run replay -- SOURCE TARGET`: rebuilds facts and ledger in an empty migrated database from the data that cannot be
 * derived: the inbox, the records of other providers, organisations, programs with their terms and switches, known users,
 * codes with their states, redemptions and decisions of staff. Then it compares all balances with the source. Both are
 * Postgres URLs of the schema's owner.
 */
import postgres from 'postgres'
import { CliError, runMain } from '../cli/cli-error.ts'

/** The tables that are copied unchanged, in the order of their references. */
const copied = [
  'referral.organisations',
  'referral.members',
  'referral.programs',
  'referral.program_terms',
  'referral_private.switches',
  'referral_private.known_users',
  'referral.code_quotas',
  'referral.codes',
  'referral_private.code_states',
  'referral.redemptions',
  'referral.decisions',
  'referral_private.decision_payers',
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

/**
 * Copies a table's rows without its triggers, which ran in the source already, except those that run always. Its
 * identity column goes on after the copied rows.
 */
async function copy(source: postgres.Sql, target: postgres.Sql, table: string): Promise<void> {
  const columns = await source<{ name: string; identity: boolean }[]>`
    select attname as name, attidentity <> '' as identity from pg_attribute
    where attrelid = ${table}::regclass and attnum > 0 and not attisdropped and attgenerated = ''`
  const triggers = await target<{ name: string }[]>`
    select tgname as name from pg_trigger
    where tgrelid = ${table}::regclass and not tgisinternal and tgenabled = 'O'`
  const turn = async (change: 'enable' | 'disable') => {
    for (const { name } of triggers)
      await target.unsafe(`alter table ${table} ${change} trigger ${name}`)
  }
  const list = (prefix: string) => columns.map(({ name }) => prefix + name).join(', ')
  await turn('disable')
  const rows = `select to_jsonb(t) as row from (select ${list('')} from ${table}) as t`
  await target.begin(async (tx) => {
    await tx`set constraints all deferred`
    for await (const page of source.unsafe(rows).cursor(1000)) {
      await tx.unsafe(
        `insert into ${table} (${list('')}) overriding system value
         select ${list('r.')}
         from jsonb_array_elements($1) as given, jsonb_populate_record(null::${table}, given) as r`,
        [tx.json(page.map(({ row }) => row)) as never],
      )
    }
  })
  for (const { name } of columns.filter(({ identity }) => identity))
    await target.unsafe(
      `select setval(pg_get_serial_sequence('${table}', '${name}'), (select max(${name}) from ${table}))`,
    )
  await turn('enable')
}

async function replayEvents(source: postgres.Sql, target: postgres.Sql): Promise<number> {
  let count = 0
  const inbox = source`
    select e.status, e.body_sha256, e.event, p.event as parked, r.event as resolved
    from referral_private.stripe_events as e
    left join referral_private.parked_events as p
      on (p.event_created_at, p.event_id, p.stripe_account, p.livemode) = (e.created_at, e.event_id, e.stripe_account, e.livemode)
    left join referral_private.resolved_events as r
      on (r.event_created_at, r.event_id, r.stripe_account, r.livemode) = (e.created_at, e.event_id, e.stripe_account, e.livemode)
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
  for (const { org_id, livemode, kind, provider, ref, content } of records) {
    const options = target.json({ livemode })
    if (kind === 'payment')
      await target`
        select referral.record_payment(
          ${org_id}, ${provider}, ${ref}, ${content.referee_id}, ${content.amount}, ${content.currency}, ${content.tax},
          to_timestamp(${content.paid_at}), ${content.program_id}, ${options}
        )`
    else if (kind === 'refund')
      await target`
        select referral.record_refund(
          ${org_id}, ${provider}, ${ref}, ${content.payment_ref}, ${content.amount}, ${options}
        )`
    else
      await target`select referral.record_refund_reversed(${org_id}, ${provider}, ${ref}, ${options})`
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
