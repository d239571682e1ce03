import { importKind } from '../../../events/import.ts'
import { aggregatesOf } from '../../platform/aggregates.ts'
import { callTheRoll } from '../../platform/roll-call.ts'
import { type Examined, ok, warning } from './diagnosis.ts'
import { type Patient, patiently } from './patient.ts'

/** How long a busy import is given to answer. */
const ANSWER_MS = 2_000

/** Whether an import was begun that nobody goes on with: what it left without an outcome no worker touches. */
export async function checkImports({ broker, version, signal }: Patient): Promise<Examined> {
  await version()
  const imports = aggregatesOf(broker, importKind)
  const versions = [...(await patiently(imports.versions))]
  const newest = await Promise.all(versions.map(([id, version]) => patiently(() => imports.read(id, version))))
  const begun = newest.filter((event) => event?.type === 'ImportBegun')
  if (begun.length === 0) return ok('imports', 'none is unfinished')
  const heard = await callTheRoll(broker, ANSWER_MS, signal)
  const running = new Set(heard.filter(({ service }) => service === 'import').map(({ name }) => name))
  for (const { aggregate, version, recordedAt } of begun.filter(({ aggregate }) => !running.has(aggregate))) {
    // One that finished meanwhile does not answer, either.
    if (await patiently(() => imports.read(aggregate, version + 1))) continue
    const found = `one that began at ${new Date(recordedAt).toISOString()} was given up: workers leave alone what it brought without an outcome`
    return warning(
      'imports',
      found,
      'import that export, or a later one of its log, again: faafo replay import <folder>',
    )
  }
  return ok('imports', 'what was begun goes on')
}
