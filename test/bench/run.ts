import { availableParallelism, cpus, totalmem } from 'node:os'
import process from 'node:process'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { keepTempDirs } from '../support/temp.ts'
import { catchUp } from './catch-up.ts'
import { follow } from './follow.ts'
import { kernel } from './kernel.ts'
import { latency } from './latency.ts'
import { post } from './post.ts'
import { rebuild } from './rebuild.ts'
import { type Row, ratioOf, type Suite } from './row.ts'
import { tasks } from './tasks.ts'
import { webhooks } from './webhooks.ts'

/*
 * npm run bench [-- NAME …] [--output json]
 *
 * Every figure stands beside a reference measured in the same run, because machines differ and drift: quote ratios.
 */

const suites: readonly Suite[] = [kernel, post, latency, tasks, catchUp, rebuild, follow, webhooks]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { output: { type: 'string', default: 'table' } },
})
const unknown = positionals.filter((name) => !suites.some((suite) => suite.name === name))
if (unknown.length > 0 || !['table', 'json'].includes(values.output)) {
  const known = suites.map((suite) => suite.name).join(', ')
  console.error(
    `bench: cannot run '${[...unknown, values.output].join(' ')}': suites are ${known}; --output table|json`,
  )
  process.exit(2)
}

const rows: Row[] = []
const removeTempDirs = keepTempDirs()
try {
  for (const suite of suites) {
    if (positionals.length > 0 && !positionals.includes(suite.name)) continue
    console.error(`measuring ${suite.name} …`)
    rows.push(...(await suite.run()))
  }
} finally {
  await removeTempDirs()
}

if (values.output === 'json') {
  for (const row of rows) {
    const { name, value, unit, reference } = row
    console.log(JSON.stringify({ name, value, unit, reference: reference.value, ratio: ratioOf(row) }))
  }
} else {
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`
  console.log(
    `${cpus()[0]?.model ?? 'unknown processor'}, ${availableParallelism()} cores, ${memory}; Node ${process.version}`,
  )
  const table = new Table({
    head: ['figure', 'value', 'unit', 'reference', 'value', 'ratio'],
    style: { head: [], border: [] },
  })
  for (const row of rows) {
    const { name, value, unit, reference } = row
    table.push([name, shown(value), unit, reference.name, shown(reference.value), ratioOf(row).toFixed(3)])
  }
  console.log(table.toString())
}
process.exit(0)

function shown(value: number): string {
  return value >= 100 ? String(Math.round(value)) : value.toPrecision(3)
}
