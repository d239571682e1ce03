import * as assert from 'uvu/assert'
import {
  type CloudEvent,
  createReplay,
  isFaafoError,
  type Replay,
  type ReplayOptions,
  type UnreadableCloudEvent,
} from '../../services/replay/replay.ts'
import { type Clinic, withClinic } from './clinic.ts'

export const replayOf = ({ server, database, imagesDir }: Clinic, options: Partial<ReplayOptions> = {}): Replay =>
  createReplay({ natsUrl: server.url, databaseUrl: database.url, storageUrl: `file:${imagesDir}`, ...options })

/** Gives `use` a system in which so many pictures were drawn, the tools for it, and the pictures' uuids. */
export const withPictures = (count: number, use: (c: Clinic, replay: Replay, uuids: string[]) => Promise<void>) =>
  withClinic(async (c) => {
    const endWorker = c.startWorker()
    c.start()
    const uuids: string[] = []
    for (let n = 0; n < count; n++) uuids.push(await c.request())
    for (const uuid of uuids) await c.completed(uuid)
    await endWorker()
    await c.caughtUp()
    await use(c, replayOf(c), uuids)
  })

type Told = CloudEvent | UnreadableCloudEvent

export async function all(events: AsyncIterable<Told>): Promise<Told[]> {
  const told: Told[] = []
  for await (const event of events) told.push(event)
  return told
}

export async function failsWith(code: string, message: RegExp, work: Promise<unknown>): Promise<void> {
  const error = await work.then(
    () => 'it did not fail',
    (error) => error,
  )
  assert.ok(isFaafoError(error), String(error))
  assert.equal([error.code, message.test(error.message)], [code, true], error.message)
}
