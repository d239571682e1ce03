import { availableParallelism } from 'node:os'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { runHere } from './run-program.ts'

test('bench tells pixels per second for one thread and for all', async () => {
  const { code, stdout, stderr } = await runHere(['bench', '--seconds', '0.1', '--output', 'json'])
  assert.is(code, 0, stderr)
  const rows = JSON.parse(stdout)
  assert.is(rows[0].threads, 1)
  assert.is(rows[0].ratio, 1)
  assert.is(rows.at(-1).threads, availableParallelism())
  for (const row of rows) assert.ok(row.pictures >= 1 && row.pixels_per_second > 0)

  const table = await runHere(['bench', '--seconds', '0.1'])
  assert.match(table.stdout, 'Pixels per second')
})

test('bench refuses a time that is none', async () => {
  for (const seconds of ['0', '-1', 'long', '1e9']) {
    const { code, stderr } = await runHere(['bench', '--seconds', seconds])
    assert.is(code, 2)
    assert.match(stderr, 'expected a number above 0, at most 600')
    assert.is(stderr.trim().split('\n').length, 1)
  }
})

test.run()
