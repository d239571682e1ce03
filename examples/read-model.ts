/*
 * A table of one's own: what each worker has finished, in any PostgreSQL. The place stands in the same database and moves
 * in the same transaction, so that every event counts exactly once, wherever this is killed.
 *
 *   NATS_URL=nats://127.0.0.1:4222 READ_MODEL_URL=postgres://user:password@db/mine npx tsx examples/read-model.ts
 */
import process from 'node:process'
import { isFaafoError, subscribe } from 'faafo/events'
import postgres from 'postgres'

const sql = postgres(process.env.READ_MODEL_URL ?? 'postgres://postgres@127.0.0.1/postgres', { onnotice: () => {} })
const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())

await sql`create table if not exists worker_work (name text primary key, finished int not null, seconds float8 not null)`
await sql`create table if not exists worker_place (one boolean primary key default true, cursor text not null)`
await sql`insert into worker_place (cursor) values ('0') on conflict do nothing`

while (!stop.signal.aborted) {
  const [place] = await sql<{ cursor: string }[]>`select cursor from worker_place`
  try {
    await subscribe(
      {
        servers: process.env.NATS_URL ?? 'nats://127.0.0.1:4222',
        after: place?.cursor ?? '0',
        types: ['TaskCompleted'],
        signal: stop.signal,
      },
      (event) =>
        sql.begin(async (tx) => {
          await tx`update worker_place set cursor = ${event.cursor}`
          if ('unreadable' in event || event.type !== 'TaskCompleted') return
          const { generatedBy, duration } = event.data
          await tx`
            insert into worker_work values (${generatedBy}, 1, ${duration})
            on conflict (name) do update set finished = worker_work.finished + 1, seconds = worker_work.seconds + ${duration}`
        }),
    )
  } catch (error) {
    if (!isFaafoError(error, 'log-replaced')) throw error
    // Another log: what was counted is of the one before. Begin anew.
    await sql.begin(async (tx) => {
      await tx`truncate worker_work`
      await tx`update worker_place set cursor = '0'`
    })
  }
}
await sql.end()
