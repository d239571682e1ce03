import { type JetStreamManager, NatsError, StorageType } from 'nats'
import type { Names } from '../../events/subjects.ts'

/** What the broker answers where there is no such stream. */
const NO_STREAM = 10059

/** `grows`: whether a newer version of this program may have added subjects. */
export type OwnStream = { name: string; subjects: string[]; grows: boolean }

export const logStreamOf = ({ stream, streamSubjects }: Names): OwnStream => ({
  ...{ name: stream, subjects: streamSubjects, grows: false },
})

/** The stream of what is not a fractal. */
export const aggregateStreamOf = ({ aggregateStream, aggregateSubjects }: Names): OwnStream => ({
  ...{ name: aggregateStream, subjects: aggregateSubjects, grows: true },
})

/** The log, and the stream of what is not a fractal: made with as many replicas as the log has. */
export async function ensureStreams(jsm: JetStreamManager, names: Names, asked: number | undefined): Promise<void> {
  const replicas = await ensureStream(jsm, logStreamOf(names), asked, 1)
  await ensureStream(jsm, aggregateStreamOf(names), asked, replicas)
}

/**
 * Makes the stream where it is missing; several services may do so at once. One that exists gets the subjects that it
 * lacks and is brought to the asked number of replicas, and else stays as it is. Resolves to the replicas that it has.
 */
async function ensureStream(
  jsm: JetStreamManager,
  { name, subjects }: OwnStream,
  asked: number | undefined,
  otherwise: number,
): Promise<number> {
  const existing = await jsm.streams.info(name).catch((error) => {
    if (error instanceof NatsError && error.api_error?.err_code === NO_STREAM) return null
    throw error
  })
  const num_replicas = asked ?? existing?.config.num_replicas ?? otherwise
  if (existing) {
    const { config } = existing
    const lacking = subjects.filter((subject) => !config.subjects.includes(subject))
    if (lacking.length > 0 || config.num_replicas !== num_replicas) {
      await jsm.streams.update(name, { num_replicas, subjects: [...config.subjects, ...lacking] })
    }
  } else {
    await jsm.streams.add({
      name,
      subjects,
      storage: StorageType.File,
      num_replicas,
      deny_delete: true,
      deny_purge: true,
      allow_direct: true,
    })
  }
  return num_replicas
}
