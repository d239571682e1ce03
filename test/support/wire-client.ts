import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { message } from '../../services/up/postgres-wire.ts'
import { until } from './until.ts'

export type Answer = { type: string; body: Buffer }

/** A PostgreSQL client that sends exactly the bytes it is told to. */
export type WireClient = {
  socket: Socket
  /** Sends the bytes, waits for the ReadyForQuery that answers them or for the end, and gives the messages up to there. */
  ask(...bytes: Buffer[]): Promise<Answer[]>
  /** Everything that came since the last `ask` was answered. */
  received(): Answer[]
  closed(): boolean
}

export const startupPacket = (parameters: Record<string, string>, version = 3 << 16): Buffer => {
  const body = Buffer.from(`${Object.entries(parameters).flat().join('\0')}\0\0`)
  const head = Buffer.alloc(8)
  head.writeInt32BE(8 + body.length)
  head.writeInt32BE(version, 4)
  return Buffer.concat([head, body])
}

/** Connects without a start-up packet. */
export async function wireConnection(port: number): Promise<WireClient> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  let pending = Buffer.alloc(0)
  const answers: Answer[] = []
  let closed = false
  socket.on('error', () => undefined)
  socket.on('close', () => {
    closed = true
  })
  socket.on('data', (data) => {
    pending = Buffer.concat([pending, data])
    while (pending.length >= 5 && pending.length > pending.readInt32BE(1)) {
      const size = pending.readInt32BE(1) + 1
      answers.push({ type: String.fromCharCode(pending[0] ?? 0), body: pending.subarray(5, size) })
      pending = pending.subarray(size)
    }
  })
  return {
    socket,
    closed: () => closed,
    received: () => answers,
    async ask(...bytes) {
      socket.write(Buffer.concat(bytes))
      await until(() => closed || answers.some(({ type }) => type === 'Z'), { what: 'the server is ready', everyMs: 1 })
      return answers.splice(0)
    },
  }
}

/** Connects as user postgres to the database postgres. */
export async function wireClient(port: number): Promise<WireClient> {
  const client = await wireConnection(port)
  await client.ask(startupPacket({ user: 'postgres', database: 'postgres' }))
  return client
}

export const parse = (name: string, sql: string): Buffer => message('P', name, sql, Buffer.alloc(2))
export const bind = (name: string): Buffer => message('B', '', name, Buffer.alloc(6))
export const EXECUTE: Buffer = message('E', '', Buffer.alloc(4))

/** The types of the messages, such as `12TDCZ`. */
export const typesOf = (answers: readonly Answer[]): string => answers.map(({ type }) => type).join('')

/** The first column of the first row. */
export const firstValue = (answers: readonly Answer[]): string | undefined =>
  answers
    .find(({ type }) => type === 'D')
    ?.body.subarray(6)
    .toString()

/** The SQLSTATE of the first error, or null. */
export function sqlStateOf(answers: readonly Answer[]): string | null {
  const error = answers.find(({ type }) => type === 'E')
  return error ? (/\0C([0-9A-Z]{5})\0/.exec(error.body.toString())?.[1] ?? null) : null
}
