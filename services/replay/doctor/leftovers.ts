import { readCheckpoint } from '../../platform/checkpoint.ts'
import { checkModel, nextModel, type ReadModel } from '../../platform/read-model.ts'
import { pause } from '../../platform/shutdown.ts'
import type { Copy } from '../../projector/apply-batch.ts'
import { dropCopy } from '../../projector/copies.ts'
import { watchCopy } from '../copy-watch.ts'
import { type Examined, MEND, ok, warning } from './diagnosis.ts'
import type { Patient } from './patient.ts'

/** Whoever builds a read model gets on in that time, or has a statement under way: one that waits for readers tries every ten seconds. */
const WATCH_MS = 12_000
const LOOK_MS = 250

/** Whether a rebuild or a comparison that was killed left its tables behind: only another of its kind would drop them. */
export async function checkLeftovers(patient: Patient): Promise<Examined> {
  await patient.checkpoint()
  await patient.version() // whoever builds one waits for a broker that is away
  const copies = await Promise.all([nextModel, checkModel].map((model) => abandoned(patient, model)))
  const left = copies.filter((copy) => copy !== null)
  if (left.length === 0) return ok('leftovers', 'no rebuild or comparison left its tables behind')
  const schemas = left.map(({ model }) => model.schema).join(' and ')
  const found = `nobody goes on with the tables in ${schemas}: a rebuild or a comparison was killed`
  return warning('leftovers', found, MEND, {
    ...{ kind: 'leftovers', what: `drops the tables in ${schemas}` },
    async carryOut() {
      for (const copy of left) await dropCopy(patient.db, copy)
    },
  })
}

async function abandoned({ db, signal }: Patient, model: ReadModel): Promise<Copy | null> {
  const row = await readCheckpoint(db, model)
  if (!row) return null
  const isBuilt = watchCopy(db, model)
  for (const until = Date.now() + WATCH_MS; Date.now() < until; await pause(LOOK_MS, signal)) {
    if (await isBuilt()) return null
  }
  return { model, epoch: row.epoch }
}
