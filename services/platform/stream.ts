import {
  DiscardPolicy,
  type JetStreamManager,
  NatsError,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
  type StreamInfo,
} from 'nats'
import { FaafoError, messageOf } from '../../events/errors.ts'
import type { Broker } from './broker.ts'
import { type Drift, driftOf, inPlace, type Rule } from './drift.ts'
import { aggregateStreamOf, ensureStreams, logStreamOf, type OwnStream } from './streams.ts'

/** A stream of ours, as the broker has it. */
export type StreamState = {
  /** RFC 3339, nanoseconds. */
  created: string
  lastSeq: number
  bytes: number
  /** The most bytes that it may have, null where there is no limit. */
  maxBytes: number | null
  replicas: number
  /** Those that do not follow just now, by name. */
  replicasAway: string[]
  drifts: Drift[]
}

const NO_STREAM = 10059

/** How long a broker under full load may take. */
const ANSWER_MS = 5_000

/** null where the broker has no such stream. `replicas`: how many were asked for. Throws `log-unavailable`. */
export const readStream = (broker: Broker, own: OwnStream, replicas: number | undefined): Promise<StreamState | null> =>
  administering(broker, 'look at the stream', async (jsm) => {
    const info = await infoOf(jsm, own)
    if (!info) return null
    const { config, created, state, cluster } = info
    const away = (cluster?.replicas ?? []).filter(({ offline, current }) => offline || !current)
    return {
      created,
      lastSeq: state.last_seq,
      bytes: state.bytes,
      maxBytes: config.max_bytes > 0 ? config.max_bytes : null,
      replicas: config.num_replicas,
      replicasAway: away.map(({ name }) => name),
      drifts: driftOf(config, rulesFor(own, config, replicas)),
    }
  })

/** Makes both streams where they are missing, and brings them to the settings that can be changed. Throws `log-unavailable`. */
export const mendStreams = (broker: Broker, replicas: number | undefined): Promise<void> =>
  administering(broker, 'mend the stream', async (jsm) => {
    await ensureStreams(jsm, broker.names, replicas)
    for (const own of [logStreamOf(broker.names), aggregateStreamOf(broker.names)]) {
      const info = await infoOf(jsm, own)
      if (!info) continue
      const changes = inPlace(driftOf(info.config, rulesFor(own, info.config, replicas)))
      if (Object.keys(changes).length > 0) await jsm.streams.update(own.name, changes)
    }
  })

/** File storage that the broker's account has used, of what it may; none where there is no limit. Throws `log-unavailable`. */
export const readAccountStorage = (broker: Broker): Promise<{ used: number; limit: number }[]> =>
  administering(broker, 'ask for the storage limits', async (jsm) => {
    const { storage, limits, tiers = {} } = await jsm.getAccountInfo()
    return [{ storage, limits }, ...Object.values(tiers)].flatMap((one) =>
      one && one.limits.max_storage > 0 ? [{ used: one.storage, limit: one.limits.max_storage }] : [],
    )
  })

/** Gives `act` the broker's administration; whatever it throws is `log-unavailable`. */
export async function administering<T>(
  broker: Broker,
  action: string,
  act: (jsm: JetStreamManager) => Promise<T>,
  timeout = ANSWER_MS,
): Promise<T> {
  try {
    return await act(await broker.nc().jetstreamManager({ checkAPI: false, timeout }))
  } catch (error) {
    if (error instanceof FaafoError) throw error
    const reason = error instanceof NatsError && error.api_error ? messageOf(error) : 'the broker did not answer'
    throw new FaafoError('log-unavailable', `cannot ${action}: ${reason}`, { cause: error })
  }
}

const infoOf = (jsm: JetStreamManager, { name }: OwnStream): Promise<StreamInfo | null> =>
  jsm.streams.info(name).catch((error) => {
    if (error instanceof NatsError && error.api_error?.err_code === NO_STREAM) return null
    throw error
  })

/** Settings that keep what was recorded and let it be recorded. Others (a description, say) are the operator's. */
function rulesFor(
  { subjects: ours, grows }: OwnStream,
  { num_replicas }: StreamConfig,
  replicas = num_replicas,
): Rule<StreamConfig>[] {
  const sorted = (subjects: readonly string[] = []) => String([...subjects].sort())
  const mends = 'in-place'
  return [
    {
      ...{ setting: 'subjects', right: ours, mends, harm: 'events are refused, or others come among them' },
      isFine: ({ subjects }) =>
        grows ? ours.every((one) => subjects.includes(one)) : sorted(subjects) === sorted(ours),
    },
    { setting: 'num_replicas', right: replicas, mends, harm: 'NATS_REPLICAS asks for another number' },
    { setting: 'deny_delete', right: true, mends, harm: 'events can be deleted' },
    { setting: 'deny_purge', right: true, mends, harm: 'it can be emptied' },
    { setting: 'allow_rollup_hdrs', right: false, mends, harm: 'a message can take the place of those before it' },
    { setting: 'allow_direct', right: true, mends, harm: 'only its leader can be read' },
    { setting: 'max_age', right: 0, mends, harm: 'older events are dropped' },
    { setting: 'max_msgs_per_subject', right: -1, mends, harm: 'events of a slot are dropped' },
    { setting: 'max_msg_size', right: -1, mends, harm: 'larger events are refused' },
    { setting: 'no_ack', right: false, mends, harm: 'no append is ever confirmed' },
    { setting: 'subject_transform', right: undefined, mends, harm: 'events come into other slots' },
    {
      ...{ setting: 'discard', right: DiscardPolicy.New, mends },
      harm: 'the oldest events are dropped once it is as large as it may be',
      isFine: ({ max_bytes, max_msgs }) => max_bytes <= 0 && max_msgs <= 0,
    },
    { setting: 'storage', right: StorageType.File, mends: 'never', harm: 'it ends with the broker' },
    {
      setting: 'retention',
      right: RetentionPolicy.Limits,
      mends: 'never',
      harm: 'events are dropped once they are read',
    },
    { setting: 'sealed', right: false, mends: 'never', harm: 'no event can be appended' },
    { setting: 'mirror', right: undefined, mends: 'never', harm: 'no event can be appended' },
    { setting: 'sources', right: undefined, mends, harm: 'events of others come among ours' },
  ]
}
