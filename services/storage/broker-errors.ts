import { NatsError } from 'nats'
import { FaafoError, messageOf } from '../../events/errors.ts'

/** JetStream's own number for what went wrong, where the broker has said one. */
export const apiErrorOf = (error: unknown) => (error instanceof NatsError ? error.api_error?.err_code : undefined)
export const isNotFound = (error: unknown) => error instanceof NatsError && error.code === '404'
export const isNoResponders = (error: unknown) => error instanceof NatsError && error.code === '503'

export const STREAM_NAME_IN_USE = 10058
/** "wrong last sequence", and how replicated streams of newer brokers put it. */
export const isWrongSequence = (error: unknown) => [10071, 10164, 10158].includes(apiErrorOf(error) ?? 0)
/** Account, server, memory, disk, or the stream's own limit used up. */
const isFull = (error: unknown) => [10002, 10023, 10028, 10047, 10077].includes(apiErrorOf(error) ?? 0)

/** Whatever the broker or the connection threw, as `storage-full` or `storage-unavailable`; ours pass. */
export function storageError(action: string, error: unknown): FaafoError {
  if (error instanceof FaafoError && error.code !== 'log-unavailable') return error
  const code = isFull(error) ? 'storage-full' : 'storage-unavailable'
  return new FaafoError(code, `cannot ${action}: ${messageOf(error)}`, { cause: error })
}
