import { readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type JetStreamManager } from 'nats'
import { fileStore } from '../../services/storage/file-store.ts'
import type { ImageStore } from '../../services/storage/image-store.ts'
import { natsObjectStore } from '../../services/storage/nats-object-store.ts'
import { withBroker } from '../support/broker.ts'
import { withTempDir } from '../support/temp.ts'

/** One back end, and what the suite must do to it behind the store's back. */
export type Bench = {
  store: ImageStore
  flipLastByte(key: string): Promise<void>
  cutOffEnd(key: string): Promise<void>
  /** What is stored for no key, by name. */
  leftovers(): Promise<string[]>
}

const withFiles = (body: (bench: Bench) => Promise<void>) =>
  withTempDir((dir) => {
    const path = (key: string) => join(dir, key.slice(0, 2), `${key}.png`)
    return body({
      store: fileStore(dir),
      async flipLastByte(key) {
        await writeFile(path(key), flipped(await readFile(path(key))))
      },
      async cutOffEnd(key) {
        await truncate(path(key), (await readFile(path(key))).length - 1)
      },
      leftovers: () => readdir(join(dir, 'tmp')),
    })
  })

async function withBucket(body: (bench: Bench) => Promise<void>) {
  await withBroker(async ({ url }) => {
    const nc = await connect({ servers: url })
    try {
      const jsm = await nc.jetstreamManager()
      const os = async () => nc.jetstream().views.os('images')
      const chunks = async (key: string) => `$O.images.C.${(await (await os()).info(key))?.nuid}`
      await body({
        store: natsObjectStore(nc, 'images'),
        async flipLastByte(key) {
          const subject = await chunks(key)
          const stored = await messagesOf(jsm, subject)
          await jsm.streams.purge('OBJ_images', { filter: subject })
          for (const [i, { data }] of stored.entries()) {
            await nc.jetstream().publish(subject, i === stored.length - 1 ? flipped(data) : data)
          }
        },
        async cutOffEnd(key) {
          const last = await jsm.streams.getMessage('OBJ_images', { last_by_subj: await chunks(key) })
          await jsm.streams.deleteMessage('OBJ_images', last.seq)
        },
        async leftovers() {
          const named = new Set((await (await os()).list()).map((info) => `$O.images.C.${info.nuid}`))
          const { state } = await jsm.streams.info('OBJ_images', { subjects_filter: '$O.images.C.>' })
          return Object.keys(state.subjects ?? {}).filter((subject) => !named.has(subject))
        },
      })
    } finally {
      await nc.close()
    }
  })
}

async function messagesOf(jsm: JetStreamManager, subject: string) {
  const { first_seq, last_seq } = (await jsm.streams.info('OBJ_images')).state
  const found = []
  for (let seq = first_seq; seq <= last_seq; seq++) {
    const message = await jsm.streams.getMessage('OBJ_images', { seq }).catch(() => null)
    if (message?.subject === subject) found.push(message)
  }
  return found
}

function flipped(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy[copy.length - 1] = (copy.at(-1) ?? 0) ^ 1
  return copy
}

/** Every back end by its name, with the bracket that gives a bench of it, empty. */
export const backEnds = [
  ['file', withFiles],
  ['nats-object', withBucket],
] as const
