import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { type FileResult, runTestFile } from './support/test-file.ts'

/*
 * Runs every test file in a process of its own:
 *
 *   npx tsx test/run.ts [--only SUBSTRING] [--jobs N] [--timeout SECONDS] [--root FOLDER]
 *
 * Files in test/flow, test/bench and deno-compat start many processes themselves: they run one at a time, after the
 * others, whatever --jobs says.
 */

const SERIAL = ['test/flow/', 'test/bench/', 'deno-compat/']
const SLOW_TIMEOUT_S = 600
const TIMEOUT_S = 180

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    jobs: { type: 'string', default: '1' },
    timeout: { type: 'string' },
    root: { type: 'string', default: join(import.meta.dirname, '..') },
  },
})

const isSerial = (file: string) => SERIAL.some((folder) => file.startsWith(folder))

function testFiles(root: string): string[] {
  return ['test', 'deno-compat']
    .flatMap((folder) => {
      try {
        return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`)
      } catch {
        return []
      }
    })
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => file.endsWith('.test.ts') && file.includes(options.only))
    .sort()
}

function print(result: FileResult): void {
  const { file, passed, failed, seconds, problems, output } = result
  console.log(`${failed === 0 ? 'ok    ' : 'FAILED'} ${file}  ${passed + failed} tests  ${seconds.toFixed(1)} s`)
  if (failed === 0) return
  console.log(output.trimEnd())
  for (const problem of problems) console.log(`  ${file}: ${problem}`)
}

const abort = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => abort.abort())

const results: FileResult[] = []
async function work(queue: string[]): Promise<void> {
  for (let file = queue.shift(); file !== undefined && !abort.signal.aborted; file = queue.shift()) {
    const timeoutS = Number(options.timeout ?? (isSerial(file) ? SLOW_TIMEOUT_S : TIMEOUT_S))
    const result = await runTestFile(file, { root: options.root, timeoutMs: timeoutS * 1000, signal: abort.signal })
    results.push(result)
    print(result)
  }
}

const files = testFiles(options.root)
const queue = files.filter((file) => !isSerial(file))
await Promise.all(Array.from({ length: Math.max(1, Number(options.jobs) || 1) }, () => work(queue)))
await work(files.filter(isSerial))

const passed = results.reduce((sum, result) => sum + result.passed, 0)
let failed = results.reduce((sum, result) => sum + result.failed, 0)
if (files.length === 0) {
  console.log('no test file was found')
  failed = 1
}
const unrun = files.length - results.length
if (unrun > 0) {
  console.log(`interrupted: ${unrun} test files were not run`)
  failed += unrun
}
console.log(`\n${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
