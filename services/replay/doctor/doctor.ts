import { messageOf } from '../../../events/errors.ts'
import { checkClocks } from './clocks.ts'
import { type CheckName, type Diagnosis, type Examined, type Mend, notMade } from './diagnosis.ts'
import { checkStorage } from './image-checks.ts'
import { checkImports } from './import-checks.ts'
import { checkLeftovers } from './leftovers.ts'
import { checkOperationQueue, checkOperations, checkOperators } from './operation-checks.ts'
import { checkOrphans, type ImageProgress } from './orphans.ts'
import { type DoctorParts, type Patient, patientOf, requireGoing } from './patient.ts'
import { checkDatabase, checkParked, checkPosition, checkProjector } from './projection-checks.ts'
import {
  checkQueue,
  checkQueueConfig,
  checkQueueFlow,
  checkQueuePosition,
  checkRequests,
  checkWorkers,
} from './queue-checks.ts'
import { checkDataDisk, checkImageDisk } from './room.ts'
import {
  checkBroker,
  checkBrokerStorage,
  checkDurability,
  checkStream,
  checkStreamConfig,
  checkStreamReplicas,
} from './stream-checks.ts'
import { checkWebhooks } from './webhook-checks.ts'

export type DoctorOptions = {
  /** Whether every image is looked at, which takes long on a large system. */
  images?: boolean
  /** Whether safe remedies are carried out; `dry-run`: they are only named. */
  mend?: boolean | 'dry-run'
  signal: AbortSignal
  onProgress?: (progress: ImageProgress) => void
}

/** A remedy that was carried out, or would be; `error` where it failed. */
export type Mended = { check: CheckName; what: string; error: string | null }

/** `findings` are as they are in the end, after what was mended. */
export type Examination = { findings: Diagnosis[]; mended: Mended[] }

type Check = { names: readonly CheckName[]; look: (patient: Patient) => Promise<Examined | Examined[]> }
const one = (name: CheckName, look: Check['look']): Check => ({ names: [name], look })

/** In the order in which they are told. */
const checks: readonly Check[] = [
  one('broker', checkBroker),
  one('durability', checkDurability),
  one('broker-storage', checkBrokerStorage),
  one('stream', checkStream),
  one('stream-config', checkStreamConfig),
  one('stream-replicas', checkStreamReplicas),
  one('database', checkDatabase),
  { names: ['log-identity', 'log-end', 'checkpoint'], look: checkPosition },
  one('projector', checkProjector),
  one('parked', checkParked),
  one('leftovers', checkLeftovers),
  one('queue', checkQueue),
  one('queue-config', checkQueueConfig),
  one('queue-position', checkQueuePosition),
  one('queue-flow', checkQueueFlow),
  one('workers', checkWorkers),
  one('requests', checkRequests),
  one('imports', checkImports),
  one('operation-queue', checkOperationQueue),
  one('operators', checkOperators),
  one('operations', checkOperations),
  one('webhooks', checkWebhooks),
  one('storage', checkStorage),
  one('clocks', checkClocks),
  one('data-disk', checkDataDisk),
  one('image-disk', checkImageDisk),
]

/**
 * Says what is wrong with a system and what to do about it, and what is well. Takes some seconds, whatever its size, but
 * where `images` are looked at. Changes nothing unless it is to `mend`. Throws `aborted` only: what is away, or keeps a
 * check from being made, is a finding.
 */
export async function doctor(parts: DoctorParts, options: DoctorOptions): Promise<Examination> {
  const before = await examine(parts, options)
  const mended = await carryOut(before, options)
  const isMended = options.mend === true && mended.length > 0
  const findings = isMended ? await examine(parts, options) : before
  return { findings: findings.map(({ mend: _, ...diagnosis }) => diagnosis), mended }
}

async function examine(parts: DoctorParts, { images, signal, onProgress = () => {} }: DoctorOptions) {
  const patient = patientOf(parts, signal)
  const all = images ? [...checks, one('orphan-images', (whom) => checkOrphans(whom, onProgress))] : checks
  const found = await Promise.all(
    all.map(({ names, look }) => look(patient).catch((error) => names.map((name) => notMade(name, error)))),
  )
  requireGoing(signal)
  return found.flat()
}

/** One after the other: what makes the queue anew comes after the stream is right, and after what changes it in place. */
async function carryOut(examined: readonly Examined[], { mend, signal }: DoctorOptions): Promise<Mended[]> {
  const mended: Mended[] = []
  if (!mend) return mended
  const begun = new Set<Mend['kind']>()
  for (const { check, mend: remedy } of examined) {
    if (!remedy || begun.has(remedy.kind)) continue
    begun.add(remedy.kind)
    requireGoing(signal)
    const error = mend === 'dry-run' ? null : await remedy.carryOut().then(() => null, messageOf)
    mended.push({ check, what: remedy.what, error })
  }
  return mended
}
