import { Buffer } from 'node:buffer'
import type { PGlite } from '@electric-sql/pglite'
import { closeStatement, copyFail, query, SYNC, statementOf, typeOf, withPrefix } from './postgres-wire.ts'
import { createTurns } from './turns.ts'

/*
 * PGlite has one session, and its raw protocol knows nothing of who sends. Each client holds the session from its
 * first message until the engine is idle again, so that no transaction and no row meets another client. What outlives
 * a turn, the prepared statements, is kept apart by a prefix of each client's own.
 */

/** What every connection is told first: authentication done, the server's parameters, ready. */
export type Session = { greeting: Buffer; client(): SessionClient }

export type SessionClient = {
  holds(): boolean
  /** Waits for the session, unless this client holds it; false when it did not come in time. */
  takeTurn(waitMs: number): Promise<boolean>
  /** Runs complete messages of a client that has its turn, and gives the turn away if nothing is left open. */
  execute(batch: readonly Buffer[], onAnswer: (bytes: Buffer) => void): Promise<void>
  /** Rolls back what is open, closes what was prepared and resets what was set. Once is enough, more does no harm. */
  leave(): Promise<void>
}

/**
 * Within one call the engine reads as many bytes as it likes and ends itself when they run out, which is what it does
 * in COPY … FROM STDIN. A CopyFail after each statement that could be one turns that into an error, and is
 * ignored after any other.
 */
const NO_COPY = copyFail('the embedded database does not take COPY FROM STDIN; use INSERT, or a PostgreSQL server')

export async function sharedSession(database: PGlite, onDeath: (error: Error) => void): Promise<Session> {
  const turns = createTurns()
  let clients = 0
  /** The client whose unnamed statement the engine has. */
  let unnamedOf: number | null = null

  const run = async (bytes: Buffer, onAnswer: (bytes: Buffer) => void): Promise<void> => {
    try {
      // execProtocolRaw would parse every answer and keep it for ever; this one hands over views of the engine's memory.
      await database.execProtocolRawStream(bytes, {
        syncToFs: false,
        onRawData: (data) => onAnswer(Buffer.from(data)),
      })
    } catch (error) {
      onDeath(new Error('the database engine has died', { cause: error }))
      throw error
    }
  }

  function client(): SessionClient {
    const id = ++clients
    const prefix = `${id.toString(36)}_`
    const prepared = new Set<string>()
    let holds = false
    let used = false
    let left = false

    /** The message as the engine is to see it. */
    const translate = (message: Buffer): Buffer => {
      const type = typeOf(message)
      if (type === 'Q') unnamedOf = null
      const statement = statementOf(message)
      if (!statement) return message
      const { name, at } = statement
      if (name === '') {
        if (type === 'P') unnamedOf = id
        // Another client's took its place: answered as a statement that does not exist, never as the other one.
        return type === 'C' || unnamedOf === id ? message : withPrefix(message, at, `${prefix}unnamed`)
      }
      if (type === 'P') prepared.add(prefix + name)
      if (type === 'C') prepared.delete(prefix + name)
      return withPrefix(message, at, prefix)
    }

    return {
      holds: () => holds,
      async takeTurn(waitMs) {
        if (!holds) holds = await turns.take(waitMs)
        return holds
      },
      async execute(batch, onAnswer) {
        used = true
        const bytes = batch.flatMap((message) => {
          const type = typeOf(message)
          return type === 'Q' || type === 'E' ? [translate(message), NO_COPY] : [translate(message)]
        })
        await run(Buffer.concat(bytes), onAnswer)
        const last = batch.at(-1)
        const ready = last !== undefined && 'SQ'.includes(typeOf(last))
        if (ready && !database.isInTransaction() && holds) {
          holds = false
          turns.give()
        }
      },
      async leave() {
        if (left) return
        left = true
        if (!holds && !used) return
        if (!holds) await turns.take()
        holds = true
        const closing = [...prepared].map(closeStatement)
        // Sync first, for an engine that skips everything up to one after an error.
        const bytes = Buffer.concat([SYNC, query('rollback'), ...closing, SYNC, query('reset all')])
        await run(bytes, () => undefined).catch(() => undefined)
        holds = false
        turns.give()
      },
    }
  }

  const greeting: Buffer[] = []
  await run(startupPacket(), (bytes) => void greeting.push(bytes))
  return { greeting: Buffer.concat(greeting), client }
}

/** The engine's own answer to this is the greeting. */
function startupPacket(): Buffer {
  const body = Buffer.from('user\0postgres\0database\0postgres\0\0')
  const head = Buffer.alloc(8)
  head.writeInt32BE(head.length + body.length)
  head.writeInt32BE(3 << 16, 4)
  return Buffer.concat([head, body])
}
