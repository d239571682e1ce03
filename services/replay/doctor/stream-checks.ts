import { messageOf } from '../../../events/errors.ts'
import { driftText } from '../../platform/drift.ts'
import { durabilityOf } from '../../platform/durability.ts'
import { mendStream, readAccountStorage } from '../../platform/stream.ts'
import { type Examined, MEND, type Mend, ok, skipped, warning, wrong } from './diagnosis.ts'
import { type Patient, patiently } from './patient.ts'
import { fillOf } from './room.ts'

/** The broker and the stream that the log is. */

export async function checkBroker({ version, broker }: Patient): Promise<Examined> {
  try {
    return ok('broker', `nats-server ${await version()} at ${broker.nc().getServer()}`)
  } catch (error) {
    return wrong('broker', messageOf(error), 'start the broker, or set NATS_URL to where it is')
  }
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
  const { version, stream, checkpoint, broker } = patient
  await version()
  const name = broker.names.stream
  try {
    const state = await stream()
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
  const state = await patient.stream()
  if (!state) return skipped('stream-config', 'there is no stream')
  const { drifts } = state
  if (drifts.length === 0) return ok('stream-config', 'as the services make it')
  const mendable = drifts.filter(({ mends }) => mends !== 'never')
  if (mendable.length === 0) {
    return wrong('stream-config', driftText(drifts), 'make the log anew from a backup: this cannot be changed in place')
  }
  const what = `sets ${mendable.map(({ setting, right }) => `${setting} to ${JSON.stringify(right)}`).join(', ')}`
  return wrong('stream-config', driftText(drifts), MEND, mendingStream(patient, what))
}

export async function checkStreamReplicas({ stream }: Patient): Promise<Examined> {
  const state = await stream()
  if (!state) return skipped('stream-replicas', 'there is no stream')
  const { replicas, replicasAway: away } = state
  if (away.length === 0) return ok('stream-replicas', replicas === 1 ? 'one copy of the log' : `all ${replicas} follow`)
  const found = `${away.length} of ${replicas} are away or behind: ${away.join(', ')}`
  return warning(
    'stream-replicas',
    found,
    'start those servers again; the log is written to while most of them are there',
  )
}

const mendingStream = ({ broker, settings }: Patient, what: string): Mend => ({
  ...{ kind: 'stream', what },
  carryOut: () => mendStream(broker, settings.replicas),
})
