import { DiscardPolicy, headers, type JetStreamManager, NatsError, StorageType } from 'nats'
import { FaafoError, messageOf } from '../../events/errors.ts'
import type { Broker } from './broker.ts'

/*
 * A JetStream key-value bucket, in the format that the `nats kv` commands read: stream KV_<bucket>, which keeps the last
 * message of each subject $KV.<bucket>.<key>. A value is written with the revision that it takes the place of, so that who
 * has read an older one cannot write.
 *
 * With several replicas 2.9 compares that revision only before it proposes the message: of two writes within the same
 * moment both may succeed, and the later one stands. Whoever relies on it looks again.
 */

/** `revision` is 0 where nothing was there, and `value` null. */
export type Entry = { value: unknown; revision: number }

/** Every method throws `log-unavailable` where the broker does not answer in time, and `log-full`. */
export type KeyValue = {
  /** As the leader has it. */
  get(key: string): Promise<Entry>
  /** Resolves to the new revision, null where the revision there is another one than `expected` (0: none). Makes the bucket. */
  put(key: string, value: unknown, expected: number): Promise<number | null>
  /** Nothing is left of it. */
  remove(key: string): Promise<void>
}

const TRY_MS = 2_000
const NOT_FOUND = 10037
const NO_STREAM = 10059
const NAME_IN_USE = 10058
const WRONG_SEQUENCE = [10071, 10164, 10158]
const FULL = [10023, 10047, 10077]

type Ack = { seq?: number; error?: { err_code?: number; description: string } }

export function openKeyValue(broker: Broker, bucket: string): KeyValue {
  const stream = `KV_${bucket}`
  const subject = (key: string) => `$KV.${bucket}.${key}`
  const manager = () => broker.nc().jetstreamManager({ checkAPI: false, timeout: TRY_MS })

  async function attempt<T>(action: string, act: () => Promise<T>): Promise<T> {
    try {
      return await act()
    } catch (error) {
      if (error instanceof FaafoError) throw error
      const reason = error instanceof NatsError && error.api_error ? messageOf(error) : 'the broker did not answer'
      throw new FaafoError('log-unavailable', `cannot ${action} in ${bucket}: ${reason}`, { cause: error })
    }
  }

  /** Resolves to null where there is no bucket. */
  async function publish(key: string, value: unknown, expected: number): Promise<Ack | null> {
    const head = headers()
    head.set('Nats-Expected-Last-Subject-Sequence', String(expected))
    try {
      const answer = await broker.nc().request(subject(key), JSON.stringify(value), { timeout: TRY_MS, headers: head })
      return answer.json<Ack>()
    } catch (error) {
      if (error instanceof NatsError && error.code === '503') return null
      throw error
    }
  }

  return {
    get: (key) =>
      attempt(`read ${key}`, async () => {
        try {
          const stored = await (await manager()).streams.getMessage(stream, { last_by_subj: subject(key) })
          return { value: parsed(stored.string()), revision: stored.seq }
        } catch (error) {
          if (apiErrorOf(error) !== NOT_FOUND && apiErrorOf(error) !== NO_STREAM) throw error
          return { value: null, revision: 0 }
        }
      }),
    put: (key, value, expected) =>
      attempt(`write ${key}`, async () => {
        let ack = await publish(key, value, expected)
        if (!ack) {
          await makeBucket(await manager(), broker, bucket)
          ack = await publish(key, value, expected)
        }
        if (ack?.seq !== undefined && !ack.error) return ack.seq
        const { err_code = 0, description = 'no answer' } = ack?.error ?? {}
        if (WRONG_SEQUENCE.includes(err_code)) return null
        const code = FULL.includes(err_code) ? 'log-full' : 'log-unavailable'
        throw new FaafoError(code, `cannot write ${key} in ${bucket}: ${description}`)
      }),
    remove: (key) =>
      attempt(`remove ${key}`, async () => {
        try {
          await (await manager()).streams.purge(stream, { filter: subject(key) })
        } catch (error) {
          if (apiErrorOf(error) !== NO_STREAM) throw error
        }
      }),
  }
}

/** With as many replicas as the log has. Several may do so at once. */
async function makeBucket(jsm: JetStreamManager, { names }: Broker, bucket: string): Promise<void> {
  const { config } = await jsm.streams.info(names.stream)
  const made = {
    name: `KV_${bucket}`,
    subjects: [`$KV.${bucket}.>`],
    storage: StorageType.File,
    num_replicas: config.num_replicas,
    max_msgs_per_subject: 1,
    discard: DiscardPolicy.New,
    deny_delete: true,
    allow_rollup_hdrs: true,
    allow_direct: true,
  }
  await jsm.streams.add(made).catch((error) => {
    if (apiErrorOf(error) !== NAME_IN_USE) throw error
  })
}

const apiErrorOf = (error: unknown) => (error instanceof NatsError ? error.api_error?.err_code : undefined)

/** null where it is no JSON: a removal by the `nats kv` commands is a message without a body. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
