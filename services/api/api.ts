import type { Broker } from '../platform/broker.ts'
import type { Db } from '../platform/database.ts'
import type { Feed } from '../platform/feed.ts'
import type { Log } from '../platform/log.ts'
import type { Logger } from '../platform/logger.ts'
import type { Operations } from '../platform/operations.ts'
import type { Webhooks } from '../platform/webhooks.ts'
import type { ImageStore } from '../storage/image-store.ts'
import type { Freshness } from './freshness.ts'
import type { Live } from './live.ts'
import type { LogSpace } from './log-space.ts'
import type { Metrics } from './metrics.ts'
import type { NoteReadiness } from './readiness-log.ts'
import type { Streams } from './streams.ts'

/** What an api is made of; `createApi` adds the rest. */
export type ApiOptions = {
  broker: Broker
  log: Log
  db: Db
  images: ImageStore
  live: Live
  metrics: Metrics
  logger: Logger
  /** CloudEvents source of what is appended here, such as `/api/host-1`. */
  source: string
  /** The address listened on; on a loopback one the `Host` header must be ours. */
  host: string
  computeBudget: number
  /** What the operator says of the broker's fsync; undefined where nothing was said. */
  syncInterval: string | undefined
  /** Fires when streams are to end, so that a server that is told to stop can. */
  stopping: AbortSignal
  /** Numbers in [0, 1), for the Julia constants that callers leave out. */
  random: () => number
}

export type Api = ApiOptions & {
  feed: Feed
  streams: Streams
  freshness: Freshness
  logSpace: LogSpace
  noteReadiness: NoteReadiness
  operations: Operations
  webhooks: Webhooks
}
