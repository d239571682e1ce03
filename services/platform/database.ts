import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import { FaafoError, messageOf } from '../../events/errors.ts'
import { withoutPassword } from './config.ts'
import * as schema from './schema.ts'

/** `$client`: what it is connected to. */
export type Db = PostgresJsDatabase<typeof schema> & { $client: Pick<postgres.Sql, 'options'> }
export type Database = { db: Db; close(): Promise<void> }

/** Longer than any statement of ours takes. A host that went away without a word is else noticed after 15 minutes. */
const MOST_SILENCE_MS = 30_000

/**
 * A pool of at most `max` connections, opened when first needed and again after every outage. Where a statement (those
 * in transactions apart) got no answer for `mostSilenceMs`, all connections are given up and made anew; what they were
 * asked is rejected, although it may still happen. No session state is relied on (no `SET`, no session locks, no
 * `LISTEN`): on the embedded database all connections share one session.
 */
export function openDatabase(
  url: string,
  { max, name, mostSilenceMs = MOST_SILENCE_MS }: { max: number; name: string; mostSilenceMs?: number },
): Database {
  const open = () => {
    const opened = postgres(url, {
      max,
      connect_timeout: 2,
      idle_timeout: 60,
      backoff: () => 0.25,
      onnotice: () => {},
      fetch_types: false, // asked for in a promise of the driver's own, whose failure would end the process
      connection: { application_name: name },
    })
    drizzle(opened) // has its values parsed as drizzle wants them
    return opened
  }
  let pool = open()

  /** The driver has no time limit for statements, and cannot give up a single connection. */
  const unsafe = (...statement: Parameters<postgres.Sql['unsafe']>) => {
    const asked = pool
    const answer = asked.unsafe(...statement)
    const giveUp = () => {
      if (pool === asked) pool = open()
      void asked.end({ timeout: 0 })
    }
    const timer = setTimeout(giveUp, mostSilenceMs)
    const answered = () => clearTimeout(timer)
    answer.then(answered, answered)
    return answer
  }
  const begin = (run: (tx: postgres.TransactionSql) => unknown) => pool.begin(run)
  const client = { options: pool.options, unsafe, begin } as unknown as postgres.Sql // all that drizzle calls
  return { db: drizzle({ client, schema }), close: () => pool.end({ timeout: 5 }) }
}

/** Values as the text of an array, for which the driver has no types (`fetch_types`). */
export const arrayText = (values: readonly (string | number)[]): string =>
  `{${values.map((value) => `"${String(value).replace(/["\\]/g, '\\$&')}"`).join()}}`

/** Codes of postgres.js, Node and PostgreSQL that mean: not now, perhaps later. */
const AWAY =
  /^(CONN|ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|08|57P0|53|25006|25P0[23]|40001|40P01)/

/** Whether an error of a query says that the database is away or asks to try again (lost, starting, deadlocked). */
export function isDatabaseAway(error: unknown): boolean {
  for (let e = error; e instanceof Error; e = e.cause) {
    if (e instanceof FaafoError && e.code === 'database-unavailable') return true
    if ('code' in e && typeof e.code === 'string' && AWAY.test(e.code)) return true
    if (e instanceof AggregateError && e.errors.some(isDatabaseAway)) return true
  }
  return false
}

/** PostgreSQL's undefined_table: nobody has migrated this database yet. */
const UNDEFINED_TABLE = '42P01'

export function isUndefinedTable(error: unknown): boolean {
  for (let e = error; e instanceof Error; e = e.cause) if ('code' in e && e.code === UNDEFINED_TABLE) return true
  return false
}

/**
 * The innermost cause, which says what went wrong. Drizzle's errors around it quote the whole statement with its
 * parameters: not fit for a log line.
 */
export function rootCause(error: unknown): unknown {
  let root = error
  while (root instanceof Error && root.cause !== undefined) root = root.cause
  if (root instanceof AggregateError && root.message === '') return root.errors[0] ?? root
  return root
}

/** Runs a query; where the database is away, throws `database-unavailable`. */
export async function querying<T>(action: string, query: () => Promise<T>): Promise<T> {
  try {
    return await query()
  } catch (error) {
    if (!isDatabaseAway(error)) throw error
    const cause = inOurWords(rootCause(error))
    throw new FaafoError('database-unavailable', `cannot ${action}: the database is not reachable`, {
      cause,
      details: { reason: withoutPassword(messageOf(cause)) },
    })
  }
}

/** The `reason` of `database-unavailable` where a statement got no answer in time. */
export const NO_ANSWER = 'the database does not answer'

/** The driver's word for a connection that we gave up says who ended it, and not why. */
const inOurWords = (cause: unknown): unknown =>
  cause instanceof Error && 'code' in cause && cause.code === 'CONNECTION_DESTROYED' ? new Error(NO_ANSWER) : cause
