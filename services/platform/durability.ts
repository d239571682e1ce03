import { isAtLeast } from './broker.ts'

/** First version that knows `sync_interval: always`. */
const KNOWS_SYNC_ALWAYS = '2.10.0'

/** What an acknowledged append is worth. `fsync`: how often the broker flushes, null where that is not known. */
export type Durability = { isSafe: boolean; fsync: string | null; reason?: string }

/**
 * `syncInterval`: what the operator says of the broker's fsync, undefined where nothing was said. `version` and
 * `replicas` are null where the broker did not tell.
 */
export function durabilityOf({
  version,
  replicas,
  syncInterval,
}: {
  version: string | null
  replicas: number | null
  syncInterval: string | undefined
}): Durability {
  const fsync = syncInterval ?? null
  if (fsync === 'always') {
    if (version === null || isAtLeast(version, KNOWS_SYNC_ALWAYS)) return { isSafe: true, fsync }
    const reason = `nats-server ${version} cannot flush at every append, whatever is said of it: 2.10 or newer can`
    return { isSafe: false, fsync: null, reason }
  }
  const lost = 'a power cut or a crash of the machine (not of the broker alone) can lose what was acknowledged since'
  const reason =
    fsync === null
      ? `nobody said how often the broker flushes to its disk (NATS_SYNC_INTERVAL; its own default is every 2 minutes): ${lost}`
      : `the broker flushes to its disk every ${fsync}: ${lost}`
  if (replicas === null) return { isSafe: false, fsync, reason: 'it is not known how many replicas the stream has' }
  if (replicas >= 3) return { isSafe: true, fsync, reason: `${reason}, on most of ${replicas} replicas at once` }
  return { isSafe: false, fsync, reason }
}
