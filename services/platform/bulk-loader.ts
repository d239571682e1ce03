import { finished } from 'node:stream/promises'
import { getTableColumns, type SQL } from 'drizzle-orm'
import { getTableConfig, PgDialect, type PgTable } from 'drizzle-orm/pg-core'
import { Client, type ClientConfig, DatabaseError, type QueryResult } from 'pg'
import { from } from 'pg-copy-streams'
import { FaafoError, messageOf } from '../../events/errors.ts'
import { SIGNATURE, TRAILER } from './copy-rows.ts'
import { type Db, rootCause } from './database.ts'
import type { Logger } from './logger.ts'
import { checkpoint } from './schema.ts'

/*
 * COPY … FROM STDIN, which takes rows several times as fast as statements do. Through a driver of its own: the one that
 * everything else uses never answers where a COPY is refused at its end (porsager/postgres#1173).
 */

/** A COPY that makes no headway for so long is given up. */
const MOST_SILENCE_MS = 60_000

/** `rows`: what `rowEncoder` made for that table, in as many parts as it came. */
export type Load = { into: PgTable; rows: readonly Uint8Array[] }

export type Loading = {
  /** Those that are written, in the order in which they are locked. */
  tables: readonly PgTable[]
  /** Gives a row where it is to be done. */
  fence: SQL
  loads: readonly Load[]
  /** What is made of the rows once they are there. */
  then?: SQL | undefined
}

export type BulkLoader = {
  /**
   * Locks the tables, runs `fence`, loads the rows and runs `then`, in one transaction; false where the fence gave no row: nothing
   * was done then. Throws what the database says, or `database-unavailable`, and is of no use afterwards.
   */
  load(loading: Loading): Promise<boolean>
  close(): Promise<void>
}

/** On a connection of its own to the same server; null where there is no way to one that takes COPY (the embedded database). */
export async function openBulkLoader(db: Db, logger: Logger): Promise<BulkLoader | null> {
  const config = configOf(db.$client.options)
  if (!config) return null
  const client = new Client(config)
  client.on('error', () => {}) // a lost connection: the next statement says so

  /**
   * Runs statements and resolves to what the last one gave. All in one message: an answer that is waited for comes late
   * where this program is busy.
   */
  async function run(statements: readonly string[]): Promise<QueryResult> {
    const results = [(await client.query(statements.join(';\n'))) as QueryResult | QueryResult[]].flat()
    return results.at(-1) as QueryResult
  }

  async function copy({ into, rows }: Load): Promise<void> {
    const names = Object.values(getTableColumns(into)).map(({ name }) => `"${name}"`)
    const stream = client.query(from(`copy ${nameOf(into)} (${names.join(', ')}) from stdin (format binary)`))
    stream.on('error', () => {}) // also after it was given up
    for (const part of [SIGNATURE, ...rows]) stream.write(part)
    stream.end(TRAILER)
    await finished(stream, { signal: AbortSignal.timeout(MOST_SILENCE_MS) })
  }

  const loader: BulkLoader = {
    async load({ tables, fence, loads, then }) {
      const locks = tables.map((table) => `lock table ${nameOf(table)} in row exclusive mode`)
      try {
        // A commit that is lost takes all later ones with it, that of the one that puts the rows to use among them.
        const fenced = await run(['begin', 'set local synchronous_commit = off', ...locks, textOf(fence)])
        if (fenced.rowCount !== 1) {
          await run(['rollback'])
          return false
        }
        for (const load of loads) if (load.rows.length > 0) await copy(load)
        await run(then ? [textOf(then), 'commit'] : ['commit'])
        return true
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

const dialect = new PgDialect()
const textOf = (statement: SQL): string => dialect.sqlToQuery(statement.inlineParams()).sql

function nameOf(table: PgTable): string {
  const { schema = 'public', name } = getTableConfig(table)
  return `"${schema}"."${name}"`
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
