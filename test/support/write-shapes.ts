import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { isExtension, shapeFile, shapeOf } from './shapes.ts'
import { vocabularies } from './vocabularies.ts'

/*
 * npm run shapes
 *
 * Writes down in events/shapes what the data of every event is, once for each of its versions. What stands there is
 * changed only by fields that may be absent: any other change needs a new version (docs/changing-events.md).
 */

const folder = join(import.meta.dirname, '..', '..', 'events', 'shapes')
mkdirSync(folder, { recursive: true })
const there = new Set(readdirSync(folder))
for (const { schemas, versions } of vocabularies) {
  for (const [type, schema] of Object.entries(schemas)) {
    const name = shapeFile(type, versions[type] ?? 1)
    const file = join(folder, name)
    const shape = shapeOf(schema)
    if (there.has(name) && !isExtension(JSON.parse(readFileSync(file, 'utf8')), shape)) {
      console.error(
        `${type} version ${versions[type]} was stored in another shape: give it a new version and an upcaster`,
      )
      process.exitCode = 1
    } else writeFileSync(file, `${JSON.stringify(shape, null, 2)}\n`)
  }
}
