import { type ErrorCode, isFaafoError, messageOf } from '../../../events/errors.ts'
import { OLDEST_BROKER } from '../../platform/broker.ts'
import { driftText } from '../../platform/drift.ts'
import { durabilityOf } from '../../platform/durability.ts'
import { pause } from '../../platform/shutdown.ts'
import { mendStreams, readAccountStorage, readStream } from '../../platform/stream.ts'
import { aggregateStreamOf, logStreamOf, type OwnStream } from '../../platform/streams.ts'
import { type Examined, MEND, type Mend, ok, skipped, warning, wrong } from './diagnosis.ts'
import { type Patient, patiently } from './patient.ts'
import { fillOf } from './room.ts'

/** The broker, the stream that the log is, and that of what is not a fractal. */

export async function checkBroker({ version, broker }: Patient): Promise<Examined> {
  try {
    return ok('broker', `nats-server ${await version()} at ${broker.nc().getServer()}`)
  } catch (error) {
    const remedy = isFaafoError(error) ? remedies[error.code] : undefined
    return wrong('broker', messageOf(error), remedy ?? 'mend what it names')
  }
}

const remedies: Partial<Record<ErrorCode, string>> = {
  unreachable: 'start the broker, or set NATS_URL to where it is',
  'log-unsupported': `run nats-server ${OLDEST_BROKER} or newer there, with JetStream`,
  'log-unavailable':
    'give it credentials that it knows (NATS_URL with a name and password, NATS_CREDS, NATS_NKEY_SEED)',
}

export async function checkDurability({ version, stream, settings }: Patient): Promise<Examined> {
  const { syncInterval } = settings
  const known = { version: await version(), replicas: (await stream())?.replicas ?? null, syncInterval }
  const { isSafe, fsync, reason } = durabilityOf(known)
  if (isSafe) return ok('durability', fsync === 'always' ? 'fsync on every append' : (reason ?? ''))
  const remedy =
    fsync === null && syncInterval === undefined
      ? 'set NATS_SYNC_INTERVAL to what the broker is configured to; sync_interval: always is safe'
      : 'nats-server 2.10 or newer with sync_interval: always, or 3 replicas (NATS_REPLICAS=3)'
  return warning('durability', reason ?? '', remedy)
}

export async function checkBrokerStorage({ version, stream, broker }: Patient): Promise<Examined> {
  await version()
  const account = await patiently(() => readAccountStorage(broker))
  const state = await stream()
  const limits = [
    ...account.map(({ used, limit }) => ({ what: 'its account', used, limit })),
    ...(state && state.maxBytes !== null ? [{ what: 'the log', used: state.bytes, limit: state.maxBytes }] : []),
  ]
  const [fullest] = limits
    .map(({ what, used, limit }) => ({ what, ...fillOf({ free: limit - used, total: limit }) }))
    .sort((a, b) => b.share - a.share)
  if (!fullest) return ok('broker-storage', 'the broker sets no limit but its disk')
  const found = `${fullest.what} has used ${fullest.text} that it may`
  if (fullest.severity === 'ok') return ok('broker-storage', found)
  const tell = fullest.severity === 'wrong' ? wrong : warning
  return tell('broker-storage', found, 'raise that limit at the broker: once it is reached, every append is refused')
}

export async function checkStream(patient: Patient): Promise<Examined> {
  const { version, stream, aggregates, checkpoint, broker } = patient
  await version()
  const name = broker.names.stream
  try {
    const [state, beside] = [await stream(), await aggregates()]
    const { aggregateStream } = broker.names
    if (state && !beside) {
      const found = `the broker has no stream ${aggregateStream}, for what is not a fractal`
      return wrong('stream', found, MEND, mendingStream(patient, `makes the stream ${aggregateStream}`))
    }
    if (state) return ok('stream', `${name}: ${state.lastSeq} events, made at ${state.created}`)
  } catch (error) {
    return wrong('stream', messageOf(error), 'see what the broker logs: a stream needs most of its replicas')
  }
  const seq = await checkpoint().then(
    (row) => row?.seq ?? 0,
    () => 0,
  )
  const isKnown = seq > 0
  return wrong(
    'stream',
    `the broker has no stream ${name}${isKnown ? `, of which ${seq} events were read before` : ''}`,
    isKnown ? `put the right store folder of the broker back, or begin anew: ${MEND}` : MEND,
    mendingStream(patient, `makes the stream ${name}`),
  )
}

export async function checkStreamConfig(patient: Patient): Promise<Examined> {
  const [log, beside] = [await patient.stream(), await patient.aggregates()]
  if (!log) return skipped('stream-config', 'there is no stream')
  const { aggregateStream } = patient.broker.names
  const others = (beside?.drifts ?? []).map((one) => ({ ...one, setting: `${aggregateStream} ${one.setting}` }))
  const drifts = [...log.drifts, ...others]
  if (drifts.length === 0) return ok('stream-config', 'as the services make it')
  const mendable = drifts.filter(({ mends }) => mends !== 'never')
  if (mendable.length === 0) {
    return wrong(
      'stream-config',
      driftText(drifts),
      'make that stream anew from a backup: this cannot be changed in place',
    )
  }
  const what = `sets ${mendable.map(({ setting, right }) => `${setting} to ${JSON.stringify(right)}`).join(', ')}`
  return wrong('stream-config', driftText(drifts), MEND, mendingStream(patient, what))
}

export async function checkStreamReplicas(patient: Patient): Promise<Examined> {
  const { stream, aggregates, broker } = patient
  const [log, beside] = [await stream(), await aggregates()]
  if (!log) return skipped('stream-replicas', 'there is no stream')
  const all = [
    { own: logStreamOf(broker.names), state: log },
    { own: aggregateStreamOf(broker.names), state: beside },
  ]
  const texts: string[] = []
  for (const { own, state } of all) {
    const away = state ? await awayForLonger(patient, own, state.replicasAway) : []
    if (away.length > 0) texts.push(`${own.name}: ${away.length} of ${state?.replicas} (${away.join(', ')})`)
  }
  if (texts.length === 0) {
    return ok('stream-replicas', log.replicas === 1 ? 'one copy of the log' : `all ${log.replicas} follow`)
  }
  const found = `copies are away or behind: ${texts.join('; ')}`
  return warning(
    'stream-replicas',
    found,
    'start those servers again; the log is written to while most of them are there',
  )
}

/** Those that are away in every look: of a log that is being written to a copy is often an event behind. */
async function awayForLonger(
  { broker, settings, signal }: Patient,
  own: OwnStream,
  first: string[],
): Promise<string[]> {
  let away = first
  for (let looks = 1; looks < REPLICA_LOOKS && away.length > 0; looks++) {
    await pause(REPLICA_LOOK_MS, signal)
    const now = await patiently(() => readStream(broker, own, settings.replicas))
    away = away.filter((name) => now?.replicasAway.includes(name))
  }
  return away
}

const REPLICA_LOOKS = 5
const REPLICA_LOOK_MS = 200

const mendingStream = ({ broker, settings }: Patient, what: string): Mend => ({
  ...{ kind: 'stream', what },
  carryOut: () => mendStreams(broker, settings.replicas),
})
