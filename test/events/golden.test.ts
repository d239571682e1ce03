import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { z } from 'zod'
import { root } from '../support/project.ts'
import { isExtension, shapeFile, shapeOf } from '../support/shapes.ts'
import { vocabularies } from '../support/vocabularies.ts'

/*
 * Messages as they were once written, at least one of each type and version with every field, and the events that they
 * are today. They are never changed: a new version of an event gets messages of its own, and the old ones must go on
 * being read, upcast. The shape of each version of an event stands in events/shapes (docs/changing-events.md).
 */
type Event = { type: string; data: object; recordedtime?: string }
type Golden = { subject: string; headers: Record<string, string>; body: string; event: Event }

const read = (path: string) => JSON.parse(readFileSync(join(root, path), 'utf8'))
const stored = new Set(readdirSync(join(root, 'events/shapes')))
const position = { seq: 7, storedAt: Date.parse('2026-11-23T10:00:09.000Z') }
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)

for (const { name, schemas, versions, decode, encode, slot } of vocabularies) {
  const goldens: Golden[] = read(`test/golden/messages/${name}.json`)
  const known = Object.keys(schemas).map((type) => [type, versions[type] ?? 0] as const)

  test(`${name}: there is a golden message of every version of every type`, () => {
    const told = new Set(goldens.map(({ headers }) => `${headers['ce-type']} ${headers['ce-schemaversion']}`))
    assert.equal([...told].sort(), known.flatMap(([type, newest]) => upTo(newest).map((v) => `${type} ${v}`)).sort())
  })

  for (const { subject, headers, body, event } of goldens) {
    const version = headers['ce-schemaversion']

    test(`${name}: ${headers['ce-type']} version ${version} is read as it was meant`, () => {
      const { storedAt, seq } = position
      const times = event.recordedtime
        ? { recordedAt: Date.parse(event.recordedtime), storedAt }
        : { recordedAt: storedAt }
      assert.equal(decode({ header: (name) => headers[name] ?? '', body }, position), { ...event, seq, ...times })
    })

    if (version === String(versions[event.type])) {
      test(`${name}: ${event.type} is written byte for byte as before, into the same slot`, () => {
        assert.equal(encode(event), { headers, body })
        assert.is(slot(event), subject)
      })
    }
  }

  for (const [type, newest] of known) {
    test(`${name}: what ${type} holds has not changed without a new version`, () => {
      for (const version of upTo(newest)) assert.ok(stored.has(shapeFile(type, version)), `version ${version} is gone`)
      const [before, now] = [read(`events/shapes/${shapeFile(type, newest)}`), shapeOf(schemas[type] as z.ZodType)]
      assert.ok(
        isExtension(before, now),
        `${type} version ${newest} was stored in another shape: docs/changing-events.md says what to do`,
      )
      assert.equal(now, before, 'a field was added, or is described in other words: npm run shapes writes it down')
      const told = goldens.filter((one) => one.event.type === type).flatMap(({ body }) => Object.keys(JSON.parse(body)))
      assert.equal([...new Set(told)].sort(), Object.keys(before.properties).sort(), 'a golden message has every field')
    })
  }
}

test('no shape is of an event that nobody knows', () => {
  const known = vocabularies.flatMap(({ versions }) =>
    Object.entries(versions).flatMap(([type, newest]) => upTo(newest).map((version) => shapeFile(type, version))),
  )
  assert.equal([...stored].sort(), known.sort())
})

test.run()
