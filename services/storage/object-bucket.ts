import { Buffer } from 'node:buffer'
import {
  DiscardPolicy,
  headers,
  type JetStreamClient,
  type JetStreamManager,
  type NatsConnection,
  nuid,
  StorageType,
  type StoredMsg,
} from 'nats'
import { apiErrorOf, isNoResponders, isNotFound, isWrongSequence, STREAM_NAME_IN_USE } from './broker-errors.ts'

/*
 * A JetStream Object Store bucket, in the format that the `nats object` commands read: stream OBJ_<bucket> with
 *
 *   $O.<bucket>.C.<nuid>                 the chunks of one copy, in order
 *   $O.<bucket>.M.<base64url(name)>      JSON that names the copy; one per name (rollup)
 *
 * Reading and writing is done here, because the `put` of nats.js sends every chunk without waiting for acks and
 * forgets the copy that a concurrent put has written, and its `get` pushes into memory whatever the reader does and
 * waits for ever where chunks are missing. Here the writer has a window, the name moves by compare-and-swap (so
 * that exactly one put replaces, and cleans up, each copy), and a reader asks for chunk after chunk.
 *
 * With several replicas 2.9 compares an expected sequence above 0 only before it proposes the message: two puts of one
 * image, or a put and a removal, within the same moment may both win. Of two puts the loser's copy then stays until it
 * is tidied; a put that a removal has overtaken is an image lost, which readers report.
 */

/** What an object's name points to. `first` is where its first chunk stands in the stream: only a hint, ours. */
export type ObjectMeta = {
  name: string
  bucket: string
  nuid: string
  size: number
  chunks: number
  digest: string
  mtime: string
  deleted: boolean
  options: { max_chunk_size: number }
  metadata?: { first?: string }
}
/** `revision` is the stream sequence that the meta stands at; `putAt` the broker's time of it, Unix ms. */
export type StoredMeta = ObjectMeta & { revision: number; putAt: number }

/** A request is given up after this many ms; cleaning up after one that failed takes at most the second. */
const REQUEST_MS = 3_000
const CLEANUP_MS = 1_500
/** In place of a copy's id: the chunk that `probe` writes. */
const PROBE = 'probe'
const READS_AT_ONCE = 32

export type Bucket = ReturnType<typeof bucketOf>

/** The bucket on this connection, made where it is missing (also by several at once); with `replicas` null it is not. */
export async function openBucket(nc: NatsConnection, name: string, replicas: number | null): Promise<Bucket> {
  const js = nc.jetstream({ timeout: REQUEST_MS })
  const jsm = await nc.jetstreamManager({ timeout: REQUEST_MS, checkAPI: false })
  if (replicas !== null) await ensureStream(jsm, name, replicas)
  const cleanup = await nc.jetstreamManager({ timeout: CLEANUP_MS, checkAPI: false })
  return bucketOf(name, nc, js, jsm, cleanup)
}

/** As `js.views.os` would make it, which newer brokers refuse when it is given replicas. */
async function ensureStream(jsm: JetStreamManager, bucket: string, replicas: number): Promise<void> {
  const name = `OBJ_${bucket}`
  const existing = await jsm.streams.info(name).catch((error) => {
    if (isNotFound(error)) return null
    throw error
  })
  if (existing) return
  const config = {
    name,
    subjects: [`$O.${bucket}.C.>`, `$O.${bucket}.M.>`],
    storage: StorageType.File,
    num_replicas: replicas,
    discard: DiscardPolicy.New,
    allow_rollup_hdrs: true,
    allow_direct: true,
  }
  await jsm.streams.add(config).catch((error) => {
    // Another process came first, with another number of replicas.
    if (apiErrorOf(error) !== STREAM_NAME_IN_USE) throw error
  })
}

type Message = Pick<StoredMsg, 'data' | 'seq' | 'time'>
type Query = { last_by_subj: string } | { seq: number; next_by_subj: string }

function bucketOf(
  bucket: string,
  nc: NatsConnection,
  js: JetStreamClient,
  jsm: JetStreamManager,
  cleanup: JetStreamManager,
) {
  const stream = `OBJ_${bucket}`
  const chunkSubject = (id: string) => `$O.${bucket}.C.${id}`
  const metaSubject = (name: string) => `$O.${bucket}.M.${base64url(Buffer.from(name))}`

  /** From whichever replica answers, which is cheaper and comes as it is; what it does not know, the leader is asked. */
  async function anyMessage(query: Query): Promise<Message | null> {
    const message = await nc
      .request(`$JS.API.DIRECT.GET.${stream}`, JSON.stringify(query), { timeout: REQUEST_MS })
      .catch((error) => {
        if (isNoResponders(error)) return null
        throw error
      })
    const seq = message?.headers?.get('Nats-Sequence')
    const time = message?.headers?.get('Nats-Time-Stamp')
    return message && seq && time
      ? { data: message.data, seq: Number(seq), time: new Date(time) }
      : leaderMessage(query)
  }

  async function leaderMessage(query: Query, api = jsm): Promise<Message | null> {
    return api.streams.getMessage(stream, query).catch((error) => {
      if (isNotFound(error)) return null
      throw error
    })
  }

  /**
   * All in memory at once, about 150 bytes each. Not through a consumer: on 2.9 such a list, tried under
   * concurrent puts, waited seconds for messages that had been replaced.
   */
  async function subjectsUnder(prefix: string): Promise<string[]> {
    const { state } = await jsm.streams.info(stream, { subjects_filter: `${prefix}>` })
    return Object.keys(state.subjects ?? {})
  }

  /** Who the name points to: null where it is unknown, `deleted` where a removal is under way. */
  async function meta(name: string, { fromLeader = true } = {}): Promise<StoredMeta | null> {
    const query = { last_by_subj: metaSubject(name) }
    const stored = await (fromLeader ? leaderMessage(query) : anyMessage(query))
    return stored && metaOf(stored)
  }

  async function publishMeta(meta: ObjectMeta, expectedRevision: number): Promise<number> {
    const rollup = headers()
    rollup.set('Nats-Rollup', 'sub')
    const { seq } = await js.publish(metaSubject(meta.name), JSON.stringify(meta), {
      headers: rollup,
      expect: { lastSubjectSequence: expectedRevision },
    })
    return seq
  }

  const dropChunks = async (id: string) => {
    await cleanup.streams.purge(stream, { filter: chunkSubject(id) })
  }

  return {
    meta,
    dropChunks,
    newId: () => nuid.next(),

    /** Resolves to the sequence at which the broker has stored it. */
    publishChunk: async (id: string, bytes: Uint8Array) => (await js.publish(chunkSubject(id), bytes)).seq,

    /**
     * Lets the name point to a copy whose chunks are stored, and drops the copy that it replaces. On failure the new
     * copy is dropped, unless the broker may have stored the name after all.
     */
    async point(copy: ObjectMeta): Promise<void> {
      let previous: StoredMeta | null = null
      for (let tries = 1; ; tries++) {
        try {
          await publishMeta(copy, previous?.revision ?? 0)
          break
        } catch (error) {
          const refused = apiErrorOf(error) !== undefined
          // Whatever the answer was, the leader knows. Soon, or not at all: the caller has waited for the publish.
          const current = await leaderMessage({ last_by_subj: metaSubject(copy.name) }, cleanup).then(
            (message) => message && metaOf(message),
            () => undefined,
          )
          if (current?.nuid === copy.nuid) break
          // Each round somebody else has won, so the rounds end; the bound is for what nobody foresaw.
          if (current === undefined || !isWrongSequence(error) || tries === 100) {
            if (refused) await dropChunks(copy.nuid).catch(() => {})
            throw error
          }
          previous = current
        }
      }
      // What stays because of an error here is dropped by `tidy`.
      if (previous) await dropChunks(previous.nuid).catch(() => {})
    },

    /** Forgets the name and its chunks, unless it was put since, or another put moves the name at the same moment. */
    async remove(name: string, { putBefore = Number.POSITIVE_INFINITY } = {}): Promise<void> {
      const current = await meta(name)
      if (!current || current.putAt >= putBefore) return
      let { revision } = current
      if (!current.deleted) {
        const { putAt: _, revision: expected, ...meta_ } = current
        try {
          revision = await publishMeta({ ...meta_, deleted: true, size: 0, chunks: 0, digest: '' }, expected)
        } catch (error) {
          if (isWrongSequence(error)) return
          throw error
        }
      }
      await jsm.streams.purge(stream, { filter: chunkSubject(current.nuid) })
      // Up to the mark only: a put may have come after it.
      await jsm.streams.purge(stream, { filter: metaSubject(name), seq: revision + 1 })
    },

    /** The copy's chunks, one read ahead; ends early where one is missing. */
    async *chunks({
      nuid: id,
      chunks,
      metadata,
    }: Pick<ObjectMeta, 'nuid' | 'chunks' | 'metadata'>): AsyncGenerator<Uint8Array> {
      const after = async (seq: number) => anyMessage({ seq: seq + 1, next_by_subj: chunkSubject(id) })
      let next = chunks > 0 ? after(Number(metadata?.first ?? 1) - 1) : null
      for (let left = chunks; next; ) {
        const chunk: Message | null = await next
        if (!chunk) return
        next = --left > 0 ? after(chunk.seq) : null
        next?.catch(() => {})
        yield chunk.data
      }
    },

    /** Every name's meta, those under removal too. */
    async *metas(): AsyncGenerator<StoredMeta> {
      const subjects = await subjectsUnder(`$O.${bucket}.M.`)
      for (let i = 0; i < subjects.length; i += READS_AT_ONCE) {
        const reads = subjects.slice(i, i + READS_AT_ONCE).map((subject) => anyMessage({ last_by_subj: subject }))
        // One that was removed since has none.
        for (const message of await Promise.all(reads)) if (message) yield metaOf(message)
      }
    },

    /** Writes a few bytes that replace those of the time before. */
    async probe(): Promise<void> {
      const rollup = headers()
      rollup.set('Nats-Rollup', 'sub')
      await js.publish(chunkSubject(PROBE), new Uint8Array(16), { headers: rollup })
    },

    /** Ids of copies that were written to, with or without a name. */
    async copies(): Promise<string[]> {
      const ids = (await subjectsUnder(chunkSubject(''))).map((subject) => subject.slice(chunkSubject('').length))
      return ids.filter((id) => id !== PROBE)
    },

    /** When the copy's last chunk was written, by the broker's clock, Unix ms. */
    async writtenAt(id: string): Promise<number | null> {
      return (await leaderMessage({ last_by_subj: chunkSubject(id) }))?.time.getTime() ?? null
    },
  }
}

function metaOf({ data, seq, time }: Message): StoredMeta {
  return { ...JSON.parse(new TextDecoder().decode(data)), revision: seq, putAt: time.getTime() }
}

/** As the format has it: base64url, padded. */
export const base64url = (bytes: Uint8Array): string =>
  Buffer.from(bytes).toString('base64').replaceAll('+', '-').replaceAll('/', '_')
