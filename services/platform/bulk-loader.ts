import { finished } from 'node:stream/promises'
import { getTableColumns, type SQL } from 'drizzle-orm'
import { getTableConfig, PgDialect, type PgTable } from 'drizzle-orm/pg-core'
import { Client, type ClientConfig, DatabaseError } from 'pg'
import { from } from 'pg-copy-streams'
import { FaafoError, messageOf } from '../../events/errors.ts'
import { NO_ROWS } from './copy-rows.ts'
import { type Db, rootCause } from './database.ts'
import type { Logger } from './logger.ts'
import { checkpoint } from './schema.ts'

/*
 * COPY … FROM STDIN, which takes rows several times as fast as statements do. Through a driver of its own: the one that
 * everything else uses never answers where a COPY is refused at its end (porsager/postgres#1173).
 */

/** SQLSTATE of our own, of a class that PostgreSQL leaves to others. */
const FENCED = 'FA004'
/** A COPY that makes no headway for so long is given up. */
const MOST_SILENCE_MS = 60_000

export type Loading = {
  /** Those that are written, in the order in which they are locked. */
  tables: readonly PgTable[]
  /** Without a result. Where it changes no row, nothing else is done. */
  fence: SQL
  into: PgTable
  /** What a `RowEncoder` of that table gave. */
  rows: Uint8Array
  /** What is done once the rows are there, without results. */
  afterwards: readonly SQL[]
}

export type BulkLoader = {
  /**
   * Locks the tables, runs `fence`, loads the rows and runs `afterwards`, in one transaction; false where the fence changed no
   * row: nothing was done then. Throws what the database says, or `database-unavailable`, and is of no use afterwards.
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
   * Runs statements, the COPY among them that takes the rows, all of them one message: an answer that is waited for comes
   * late where this program is busy.
   */
  async function run(statements: readonly string[], rows: Uint8Array): Promise<void> {
    const stream = client.query(from(statements.join(';\n')))
    stream.on('error', () => {}) // also after it was given up
    stream.end(rows)
    await finished(stream, { signal: AbortSignal.timeout(MOST_SILENCE_MS) })
  }

  const loader: BulkLoader = {
    async load({ tables, fence, into, rows, afterwards }) {
      const locks = tables.map((table) => `lock table ${nameOf(table)} in row exclusive mode`)
      try {
        // A commit that is lost takes all later ones with it, that of the one that puts the rows to use among them.
        const before = ['begin', 'set local synchronous_commit = off', ...locks, guardOf(fence)]
        await run([...before, copyInto(into), ...afterwards.map(textOf), 'commit'], rows)
        return true
      } catch (error) {
        const cause = rootCause(error)
        if (cause instanceof DatabaseError && cause.code === FENCED) {
          await client.query('rollback')
          return false
        }
        if (cause instanceof DatabaseError) throw error
        throw new FaafoError('database-unavailable', 'cannot load rows: the database is not reachable', { cause })
      }
    },
    close: () => client.end().catch(() => {}),
  }
  try {
    await client.connect()
    await run([copyInto(checkpoint)], NO_ROWS)
    return loader
  } catch (error) {
    logger.debug({ reason: messageOf(error) }, 'no COPY here, rows are added by statements')
    await loader.close()
    return null
  }
}

const dialect = new PgDialect()
const textOf = (statement: SQL): string => dialect.sqlToQuery(statement.inlineParams()).sql

/** Has the statement throw where it changes no row. */
function guardOf(statement: SQL): string {
  const block = `begin ${textOf(statement)}; if not found then raise exception using errcode = '${FENCED}'; end if; end`
  return `do ${dialect.escapeString(block)}`
}

function copyInto(table: PgTable): string {
  const names = Object.values(getTableColumns(table)).map(({ name }) => `"${name}"`)
  return `copy ${nameOf(table)} (${names.join(', ')}) from stdin (format binary)`
}

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
