import { chmodSync, mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { root } from './support/project.ts'
import { type FileResult, runTestFile } from './support/test-file.ts'

/*
 * Runs every test file in a process of its own:
 *
 *   npx tsx test/run.ts [--only SUBSTRING] [--jobs N] [--timeout SECONDS] [--root FOLDER]
 *
 * Files in test/flow and deno-compat start many processes themselves: two of them run at a time, beside
 * the others, whatever --jobs says.
 */

const CROWDED = ['test/flow/', 'deno-compat/']
const MOST_CROWDED = 2
/** These take longest: they come first, so that at the end no job is left without work. */
const SLOW = ['test/projector/', 'test/up/', 'test/worker/', 'test/run.test.ts']
/** Three times what they take on a slow machine. */
const SLOW_TIMEOUT_S = 900
const TIMEOUT_S = 600
const MEMORY = '/dev/shm'
const ROOM_BYTES = 4e9

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    jobs: { type: 'string', default: '1' },
    timeout: { type: 'string' },
    root: { type: 'string', default: root },
  },
})

const isIn = (folders: string[]) => (file: string) => folders.some((folder) => file.startsWith(folder))
const isCrowded = isIn(CROWDED)
const isSlow = isIn(SLOW)

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
async function work(take: 'shift' | 'pop', ...queues: string[][]): Promise<void> {
  const next = () => queues.find((queue) => queue.length > 0)?.[take]()
  for (let file = next(); file !== undefined && !abort.signal.aborted; file = next()) {
    const timeoutS = Number(options.timeout ?? (isCrowded(file) ? SLOW_TIMEOUT_S : TIMEOUT_S))
    const result = await runTestFile(file, { root: options.root, timeoutMs: timeoutS * 1000, signal: abort.signal })
    results.push(result)
    print(result)
  }
}

/**
 * A folder in memory for what the tests write, where there is one with room: a database has a thousand files, and
 * some disks take seconds to make and remove those.
 */
function folderInMemory(): string | undefined {
  try {
    const { bavail, bsize } = statfsSync(MEMORY)
    if (bavail * bsize < ROOM_BYTES) return undefined
    const folder = mkdtempSync(join(MEMORY, 'faafo-tests-'))
    chmodSync(folder, 0o755) // PostgreSQL runs as another user where we are root
    return folder
  } catch {
    return undefined
  }
}

const files = testFiles(options.root)
const crowded = files.filter(isCrowded)
const others = files.filter((file) => !isCrowded(file))
const queue = [...others.filter(isSlow), ...others.filter((file) => !isSlow(file))]
const jobs = Math.max(1, Number(options.jobs) || 1)
const memory = process.env.TMPDIR ? undefined : folderInMemory()
if (memory) process.env.TMPDIR = memory
const lane = (job: number) => {
  if (job < MOST_CROWDED) return work('shift', crowded, queue)
  // One begins at the other end, where many files mostly wait.
  return work(job === jobs - 1 ? 'pop' : 'shift', queue)
}
await Promise.all(Array.from({ length: jobs }, (_, job) => lane(job)))
if (memory) rmSync(memory, { recursive: true, force: true, maxRetries: 10 })

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
