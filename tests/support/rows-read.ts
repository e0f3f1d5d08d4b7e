/** What a session's statements read, inside functions too: their plans as auto_explain tells them. */
import postgres from 'postgres'

/** One scan: how many rows it looked at, how many pages, and where. */
export type Read = { rows: number; pages: number; by: string; query: string }

type Node = Record<string, unknown> & { Plans?: Node[] }

const sum = (node: Node, ...names: string[]) =>
  names.reduce((total, name) => total + Number(node[name] ?? 0), 0)

/** The scans of tables in a plan. */
export function readsOf(node: Node, query = ''): Read[] {
  const of = [node['Relation Name'], node['Index Name']].filter(Boolean).join(' by ')
  const rows = sum(node, 'Actual Rows', 'Rows Removed by Filter', 'Rows Removed by Index Recheck')
  const read = {
    rows: rows * Number(node['Actual Loops']),
    pages: sum(node, 'Shared Hit Blocks', 'Shared Read Blocks'),
    by: `${node['Node Type']} of ${of}`,
    query,
  }
  const isScan = of && String(node['Node Type']).includes('Scan')
  return [...(isScan ? [read] : []), ...(node.Plans ?? []).flatMap((plan) => readsOf(plan, query))]
}

/** A session of the superuser, and what the statements of some work in it read. */
export function watchedSession(url: string) {
  const reads: Read[] = []
  const sql = postgres(url, {
    max: 1,
    types: { bigint: postgres.BigInt },
    onnotice: ({ message = '' }) => {
      const start = message.indexOf('{')
      if (!message.includes('plan:') || start < 0) return
      const told = JSON.parse(message.slice(start))
      reads.push(...readsOf(told.Plan, String(told['Query Text']).replaceAll(/\s+/g, ' ').trim()))
    },
  })
  return {
    sql,
    readsOf: async (tx: postgres.TransactionSql, work: () => Promise<unknown>): Promise<Read[]> => {
      await tx.unsafe(`
        load 'auto_explain';
        set local auto_explain.log_min_duration = 0; set local auto_explain.log_nested_statements = on;
        set local auto_explain.log_analyze = on; set local auto_explain.log_timing = off;
        set local auto_explain.log_buffers = on; set local auto_explain.log_format = json;
        set local client_min_messages = log`)
      reads.length = 0
      await work()
      return [...reads]
    },
  }
}
