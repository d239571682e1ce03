import { finished } from 'node:stream/promises'
import { getTableColumns, type SQL } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { getTableConfig, type PgTable } from 'drizzle-orm/pg-core'
import { Client, type ClientConfig, DatabaseError } from 'pg'
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

/** `rows`: what `rowEncoder` made for that table. */
export type Load = { into: PgTable; rows: Uint8Array }

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
    const names = Object.values(getTableColumns(into)).map(({ name }) => `"${name}"`)
    const stream = client.query(from(`copy ${nameOf(into)} (${names.join(', ')}) from stdin (format binary)`))
    stream.on('error', () => {}) // also after it was given up
    for (const part of [SIGNATURE, rows]) stream.write(part)
    stream.end(TRAILER)
    await finished(stream, { signal: AbortSignal.timeout(MOST_SILENCE_MS) })
  }

  const loader: BulkLoader = {
    async load(fence, loads) {
      const full = loads.filter(({ rows }) => rows.length > 0)
      const locks = full.map(({ into }) => `; lock table ${nameOf(into)} in row exclusive mode`)
      try {
        await client.query(`begin${locks.join('')}`)
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
    await copy({ into: checkpoint, rows: new Uint8Array() })
    return loader
  } catch (error) {
    logger.debug({ reason: messageOf(error) }, 'no COPY here, rows are added by statements')
    await loader.close()
    return null
  }
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
