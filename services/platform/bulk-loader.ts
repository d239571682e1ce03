import { finished } from 'node:stream/promises'
import { getTableColumns, type SQL, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { getTableConfig, type PgTable } from 'drizzle-orm/pg-core'
import { Client, type ClientConfig, DatabaseError } from 'pg'
import { from } from 'pg-copy-streams'
import { FaafoError, messageOf } from '../../events/errors.ts'
import { type Db, rootCause } from './database.ts'
import type { Logger } from './logger.ts'
import { checkpoint } from './schema.ts'

/*
 * COPY … FROM STDIN, which takes rows several times as fast as statements do. Through a driver of its own: the one that
 * everything else uses never answers where a COPY is refused at its end (porsager/postgres#1173).
 */

/** A COPY that makes no headway for so long is given up. */
const MOST_SILENCE_MS = 60_000

export type Load = { into: PgTable; rows: readonly Readonly<Record<string, unknown>>[] }

export type BulkLoader = {
  /**
   * Locks the tables, runs `fence` and loads the rows, in one transaction; false where the fence gave no row: nothing
   * was loaded then. Throws what the database says, or `database-unavailable`, and is of no use afterwards.
   */
  load(fence: SQL, loads: readonly Load[]): Promise<boolean>
  close(): Promise<void>
}

/** On a connection of its own to the same server; null where there is no way to one that takes COPY (the embedded database). */
export async function openBulkLoader(db: Db, logger: Logger): Promise<BulkLoader | null> {
  const config = configOf(db.$client.options)
  if (!config) return null
  const client = new Client(config)
  client.on('error', () => {}) // a lost connection: the next statement says so
  const statements = drizzle({ client })

  async function copy({ into, rows }: Load): Promise<void> {
    const columns = Object.entries(getTableColumns(into))
    const names = columns.map(([, { name }]) => `"${name}"`).join(', ')
    const { schema = 'public', name } = getTableConfig(into)
    const stream = client.query(from(`copy "${schema}"."${name}" (${names}) from stdin`))
    stream.on('error', () => {}) // also after it was given up
    const fields = columns.map(([field]) => field)
    stream.end(rows.map((row) => lineOf(row, fields)).join(''))
    await finished(stream, { signal: AbortSignal.timeout(MOST_SILENCE_MS) })
  }

  const loader: BulkLoader = {
    async load(fence, loads) {
      const full = loads.filter(({ rows }) => rows.length > 0)
      try {
        await client.query('begin')
        for (const { into } of full) await statements.execute(sql`lock table ${into} in row exclusive mode`)
        const { rowCount } = await statements.execute(fence)
        const holds = rowCount === 1
        if (holds) for (const load of full) await copy(load)
        await client.query(holds ? 'commit' : 'rollback')
        return holds
      } catch (error) {
        const cause = rootCause(error)
        if (cause instanceof DatabaseError) throw error
        throw new FaafoError('database-unavailable', 'cannot load rows: the database is not reachable', { cause })
      }
    },
    close: () => client.end().catch(() => {}),
  }
  try {
    await client.connect()
    await copy({ into: checkpoint, rows: [] })
    return loader
  } catch (error) {
    logger.debug({ reason: messageOf(error) }, 'no COPY here, rows are added by statements')
    await loader.close()
    return null
  }
}

/** What the pool connects to, in the words of the other driver; null where those have none for it. */
function configOf({
  host,
  port,
  user,
  pass,
  database,
  ssl,
  connection,
}: Db['$client']['options']): ClientConfig | null {
  const [onlyHost, ...otherHosts] = host
  if (onlyHost === undefined || otherHosts.length > 0) return null
  return {
    host: onlyHost,
    port: port[0],
    user,
    password: (pass as string | null) ?? undefined,
    database,
    ssl: typeof ssl === 'string' ? { rejectUnauthorized: ssl === 'verify-full' } : ssl,
    application_name: connection.application_name,
    connectionTimeoutMillis: 2_000,
    keepAlive: true,
  }
}

/** A row in COPY's text format, its fields in that order. Source: the PostgreSQL manual, COPY, "Text Format". */
const lineOf = (row: Load['rows'][number], fields: readonly string[]): string =>
  `${fields.map((field) => textOf(row[field])).join('\t')}\n`

function textOf(value: unknown): string {
  if (value === null || value === undefined) return '\\N'
  if (value instanceof Date) return value.toISOString()
  const text = String(value)
  return typeof value === 'string' && SPECIAL.test(text)
    ? text.replaceAll(SPECIALS, (char) => ESCAPED[char] ?? '')
    : text
}

const ESCAPED: Record<string, string> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }
const SPECIAL = /[\\\n\r\t]/
const SPECIALS = new RegExp(SPECIAL, 'g')
