import type { EventType, NewEvent } from './events.ts'

/*
 * Names on the broker. A subject is a slot that is filled at most once (expected last subject sequence 0):
 *
 *   fractal.requested.<uuid>.<generation>          TaskRequested
 *   fractal.attempt.<uuid>.<generation>.<entry>    TaskStarted, TaskAttemptFailed
 *   fractal.outcome.<uuid>.<generation>            TaskCompleted, TaskFailed, TaskCancelled: exactly one wins
 *   fractal.removed.<uuid>                         TaskDeleted
 *
 * in the stream FRACTAL, and in the stream FAAFO, for what is not a fractal (aggregate.ts):
 *
 *   faafo.<kind>.<id>.<version>                    versions from 1, without gaps
 *
 * A namespace is put in front of every name, so that installations can share a broker.
 */
export type Names = ReturnType<typeof namesIn>

/** The kinds of aggregate in the second stream. A kind that is new here is added to a stream that exists. */
export const kindNames = ['operation', 'import', 'parked', 'webhook'] as const
export type KindName = (typeof kindNames)[number]

/** Every name on the broker under one namespace; '' for none. A namespace is one token: letters, digits, `-`, `_`. */
export function namesIn(namespace: string) {
  const dotted = namespace === '' ? '' : `${namespace}.`
  const prefixed = (name: string) => (namespace === '' ? name : `${namespace}-${name}`)
  const requested = (uuid: string, generation: number) => `${dotted}fractal.requested.${uuid}.${generation}`
  const attempt = (uuid: string, generation: number, entry: number) =>
    `${dotted}fractal.attempt.${uuid}.${generation}.${entry}`
  const outcome = (uuid: string, generation: number) => `${dotted}fractal.outcome.${uuid}.${generation}`
  const removed = (uuid: string) => `${dotted}fractal.removed.${uuid}`
  return {
    stream: prefixed('FRACTAL'),
    streamSubjects: [
      `${dotted}fractal.requested.*.*`,
      `${dotted}fractal.attempt.*.*.*`,
      `${dotted}fractal.outcome.*.*`,
      `${dotted}fractal.removed.*`,
    ],
    /** The second stream. Each kind is named, for `faafo.*.*.*` would take in what a namespace `faafo` has. */
    aggregateStream: prefixed('FAAFO'),
    aggregateSubjects: kindNames.map((kind) => `${dotted}faafo.${kind}.*.*`),
    /** One slot, or with '*' for an id and a version all of a kind. */
    aggregate: (kind: KindName, id: string, version: number | '*') => `${dotted}faafo.${kind}.${id}.${version}`,
    /** Durable consumer of the workers, and what it filters. */
    renderConsumer: prefixed('render'),
    renderFilter: `${dotted}fractal.requested.*.*`,
    /** Durable consumer of the operators, and what it filters: the first version of every bulk operation. */
    operateConsumer: prefixed('operate'),
    operateFilter: `${dotted}faafo.operation.*.1`,
    requested,
    attempt,
    outcome,
    removed,
    /** A slot of the log under this namespace, from its name under none, and the other way round. */
    inNamespace: (slot: string) => `${dotted}${slot}`,
    withoutNamespace: (subject: string) => subject.slice(dotted.length),
    /** The slot that an event stands in. */
    slot: (event: NewEvent): string => slots[event.type](event as never, { requested, attempt, outcome, removed }),
    /** The uuid in a slot of the log; '' in one that is none of ours. */
    fractalOf: (slot: string): string => slot.slice(dotted.length).split('.')[2] ?? '',
    /** Core NATS, in no stream: how far a render has come; workers say it, apis listen. */
    progress: (uuid: string) => `${dotted}progress.${uuid}`,
    /** Core NATS, in no stream: a worker says that it lives. */
    presence: (worker: string) => `${dotted}presence.worker.${worker}`,
    /** Core NATS, in no stream: asks every service to answer who it is. */
    rollCall: `${dotted}presence.call`,
    /** Core NATS, in no stream: asks one of the subscribers to send a webhook a ping; tells all that a webhook has changed. */
    webhookPing: `${dotted}webhook.ping`,
    webhookLook: `${dotted}webhook.look`,
    /** Key-value buckets: of the secrets of webhooks, and of how far each has come. */
    webhookSecrets: prefixed('webhook-secrets'),
    webhookPositions: prefixed('webhook-positions'),
    /** Object store bucket for images under this namespace. */
    bucket: (name: string) => prefixed(name),
  }
}

type Slots = Pick<Names, 'requested' | 'attempt' | 'outcome' | 'removed'>
const slots: { [T in EventType]: (event: NewEvent<T>, names: Slots) => string } = {
  TaskRequested: (e, n) => n.requested(e.fractal, e.data.generation),
  TaskStarted: (e, n) => n.attempt(e.fractal, e.data.generation, e.data.entry),
  TaskAttemptFailed: (e, n) => n.attempt(e.fractal, e.data.generation, e.data.entry),
  TaskCompleted: (e, n) => n.outcome(e.fractal, e.data.generation),
  TaskFailed: (e, n) => n.outcome(e.fractal, e.data.generation),
  TaskCancelled: (e, n) => n.outcome(e.fractal, e.data.generation),
  TaskDeleted: (e, n) => n.removed(e.fractal),
}

/** Whether it names a slot of the log, under no namespace. */
export const isSlot = (text: string): boolean =>
  /^fractal\.((requested|outcome)\.[^.\s*>]+\.[^.\s*>]+|attempt\.[^.\s*>]+\.[^.\s*>]+\.[^.\s*>]+|removed\.[^.\s*>]+)$/.test(
    text,
  )

/** The slot that was filled before this one could be, under no namespace; null for that of a fractal's first event. */
export function slotBefore(slot: string): string | null {
  const [, kind, fractal, generation = '1', entry] = slot.split('.')
  if (kind === 'attempt' && Number(entry) > 1) return `fractal.attempt.${fractal}.${generation}.${Number(entry) - 1}`
  if (kind !== 'requested') return `fractal.requested.${fractal}.${generation}`
  return generation === '1' ? null : `fractal.outcome.${fractal}.${Number(generation) - 1}`
}

/** Every type of event; here and not in events.ts, since this module needs no library. */
export const eventTypes = Object.keys(slots) as EventType[]
