import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fractalsTable, fractalTable, tableOf } from '../../services/cli/table.ts'
import { fractal, requested } from './scripted-api.ts'

test('the list has the columns of the original, and a status where there is no size yet', () => {
  const rendering = { status: 'rendering', progress: 0.427 } as const
  assert.is(
    fractalsTable([fractal(), requested(), requested(rendering)]),
    `\
+--------------------------------------+------------------+------------------+
| UUID                                 | Dimensions       | Filesize         |
+--------------------------------------+------------------+------------------+
| 9c1c3d0e-5b0a-4d55-a1a7-3f6a6f7b2c10 | 295 x 738 pixels | 26283 bytes      |
| 9c1c3d0e-5b0a-4d55-a1a7-3f6a6f7b2c10 | 295 x 738 pixels | requested        |
| 9c1c3d0e-5b0a-4d55-a1a7-3f6a6f7b2c10 | 295 x 738 pixels | rendering (42 %) |
+--------------------------------------+------------------+------------------+
`,
  )
})

test('an empty list is a table all the same', () => {
  assert.is(
    fractalsTable([]),
    `\
+------+------------+----------+
| UUID | Dimensions | Filesize |
+------+------------+----------+
`,
  )
})

test('a fractal has the rows of the original in its order, then the others', () => {
  const lines = fractalTable(fractal()).split('\n')
  const rows = lines
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
  assert.equal(rows.slice(0, 12), [
    ['Parameter', 'Value'],
    ['uuid', '9c1c3d0e-5b0a-4d55-a1a7-3f6a6f7b2c10'],
    ['duration', '4.163147 seconds'],
    ['dimensions', '295 x 738 pixels'],
    ['iterations', '399'],
    ['xa', '-2.5'],
    ['xb', '1.25'],
    ['ya', '-1.5'],
    ['yb', '2'],
    ['size', '26283 bytes'],
    ['checksum', '103c056f709b86f5487a24dd977d3ab88fe093791f4f6b6d1c8924d122031902'],
    ['generated_by', 'worker-1'],
  ])
  assert.equal(rows[12], ['status', 'completed'])
})

test('what is not known yet is a dash, and an error is shown', () => {
  const table = fractalTable(requested({ status: 'failed', error: { code: 'render-failed', message: 'no\nway' } }))
  assert.match(table, /^\| checksum +\| - +\|$/m)
  assert.match(table, /^\| error +\| render-failed: no way +\|$/m)
})

test('a cell cannot speak to the terminal', () => {
  assert.match(tableOf(['a'], [['\u001b[31mred\u0007']]), '|  [31mred  |')
})

test('the last column is wrapped to the width that is given', () => {
  const rows = [['one', 'some words that do not fit']]
  assert.is(
    tableOf(['Name', 'Details'], rows, 30),
    `\
+------+---------------------+
| Name | Details             |
+------+---------------------+
| one  | some words that do  |
|      | not fit             |
+------+---------------------+
`,
  )
  assert.is(tableOf(['Name', 'Details'], rows, 100), tableOf(['Name', 'Details'], rows))
  const long = tableOf(['Name', 'Details'], [['one', 'x'.repeat(64)]], 30)
  assert.is(long.match(/x/g)?.length, 64)
  assert.ok(long.split('\n').every((line) => line.length <= 30))
})

test.run()
