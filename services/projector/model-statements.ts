import { getTableName, sql } from 'drizzle-orm'
import { FaafoError, messageOf } from '../../events/errors.ts'
import { type Db, querying, rootCause } from '../platform/database.ts'
import { liveModel } from '../platform/read-model.ts'

/* What the statements have in common that make read models, drop them and have them change places. */

/** SQLSTATEs of our own, of a class that PostgreSQL leaves to others. */
export const LOST = 'FA002' // the copy is not there any more, or what is served was changed meanwhile
export const SHAPE = 'FA003' // the tables have other columns or indexes than those that are served
/** Undefined table, schema or column, or columns of two tables that cannot be compared. */
const CHANGED = /^(42P01|3F000|42703|42804|42883)$/

/** In the order in which a projector locks them. */
const TABLES = [liveModel.table, liveModel.versions, liveModel.held].map(getTableName)
/** As a list in SQL. */
export const TABLE_NAMES = TABLES.map((table) => `'${table}'`).join(', ')
export const eachTable = (step: (table: string) => string) => TABLES.map(step)
export const LIVE_SCHEMA = liveModel.schema

/** Runs PL/pgSQL statements, all of them as one. Throws as `onCopy`. */
export function runStatements(db: Db, action: string, statements: string[]): Promise<void> {
  const body = statements.map((statement) => `  ${statement};`).join('\n')
  const block = `declare\n  found record;\n  live record;\n  other record;\nbegin\n${body}\nend`
  return onCopy(action, async () => void (await db.execute(sql.raw(`do ${literal(block)}`))))
}

/** Runs a query on a copy. Throws `fence-lost` where that is not there any more, or the table of either was changed. */
export async function onCopy<T>(action: string, query: () => Promise<T>): Promise<T> {
  try {
    return await querying(action, query)
  } catch (error) {
    const code = sqlStateOf(error)
    const isLost = code === LOST || code === SHAPE || (typeof code === 'string' && CHANGED.test(code))
    if (!isLost) throw error
    throw new FaafoError('fence-lost', `cannot ${action}: ${messageOf(rootCause(error))}`, { cause: rootCause(error) })
  }
}

export const literal = (text: string | null) => (text === null ? 'null' : `'${text.replaceAll("'", "''")}'`)

export const sqlStateOf = (error: unknown): unknown => {
  const cause = rootCause(error)
  return cause instanceof Error && 'code' in cause ? cause.code : undefined
}
