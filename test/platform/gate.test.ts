import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createGate } from '../../services/platform/gate.ts'
import { until } from '../support/until.ts'

/** Work that ends when it is told to. */
function tasks(count: number, gate: ReturnType<typeof createGate>) {
  const begun: number[] = []
  const ends: (() => void)[] = []
  const all = Array.from({ length: count }, (_, i) =>
    gate(
      () =>
        new Promise<void>((done) => {
          begun.push(i)
          ends[i] = done
        }),
    ),
  )
  return { begun, end: (i: number) => ends[i]?.(), all }
}

test('so many go on at the same time, and the others in their turn', async () => {
  const { begun, end, all } = tasks(5, createGate(2))
  await until(() => begun.length === 2, { what: 'two have begun' })
  end(1)
  await until(() => begun.length === 3, { what: 'a third one has' })
  assert.equal(begun, [0, 1, 2])
  for (const i of [0, 2]) end(i)
  await until(() => begun.length === 5, { what: 'all have' })
  for (const i of [3, 4]) end(i)
  await Promise.all(all)
})

test('those who hang keep nobody out, and do not count twice when they end', async () => {
  const gate = createGate(2, 20)
  const { begun, end, all } = tasks(4, gate)
  await until(() => begun.length === 4, { what: 'all have begun' })
  for (const i of [0, 1, 2, 3]) end(i)
  await Promise.all(all)
  const later = tasks(3, createGate(2))
  await until(() => later.begun.length === 2, { what: 'two have begun' })
  assert.is(later.begun.length, 2)
})

test('what fails gives its place back', async () => {
  const gate = createGate(1)
  await gate(() => Promise.reject(new Error('no'))).catch(() => {})
  assert.is(await gate(async () => 7), 7)
})

test.run()
