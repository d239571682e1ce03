import { once } from 'node:events'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type ProcessFamily, spawnFamily } from './process-family.ts'
import { ourFile, ourFlags, root as ourRoot } from './project.ts'

/** What came of one test file. It is sound when `problems` is empty, and then `failed` is 0. */
export type FileResult = {
  file: string
  passed: number
  failed: number
  seconds: number
  /** Why the file does not count as passed, each a sentence. */
  problems: string[]
  output: string
}

/** uvu's closing lines. */
export type Summary = { total: number; passed: number; skipped: number }

/** How long a file's children may take to notice that it has ended. */
const ORPHAN_GRACE_MS = 10_000

/**
 * Runs one uvu file in a process of its own, on Deno where it stands in deno-compat/, and ends whatever it left behind.
 * uvu exits with 0 in many cases in which tests failed or never ran, so its word is checked against its closing lines.
 */
export async function runTestFile(
  file: string,
  options: { root: string; timeoutMs: number; signal: AbortSignal },
): Promise<FileResult> {
  const startedAt = performance.now()
  const family = spawnFamily(process.execPath, commandOf(file, options.root), { cwd: options.root })
  const { child } = family
  let output = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (output += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (output += text))
  const closed = once(child, 'close')

  const problems: string[] = []
  const timer = setTimeout(() => {
    problems.push(`it was ended after ${options.timeoutMs / 1000} s`)
    family.kill()
  }, options.timeoutMs)
  options.signal.addEventListener('abort', family.kill)
  const [code, signal]: (number | string | null)[] = await once(child, 'exit')
  clearTimeout(timer)
  options.signal.removeEventListener('abort', family.kill)

  const orphans = await waitForOrphans(family)
  if (orphans.length > 0) problems.push(`it left processes running: ${orphans.join('; ')}`)
  family.kill()
  await Promise.race([closed, sleep(ORPHAN_GRACE_MS, undefined, { ref: false })])

  if (code !== 0) problems.push(code === null ? `it was ended by ${signal}` : `it exited with ${code}`)
  const summaries = parseSummaries(output)
  problems.push(...problemsOf(summaries))
  const { total = 0, passed = 0 } = summaries[0] ?? {}
  return {
    file,
    passed,
    failed: problems.length === 0 ? 0 : Math.max(1, total - passed),
    seconds: (performance.now() - startedAt) / 1000,
    problems,
    output,
  }
}

function commandOf(file: string, root: string): string[] {
  if (root !== ourRoot) return ['--import', import.meta.resolve('tsx'), file] // another project's are not compiled
  if (!file.startsWith('deno-compat/')) return [...ourFlags, ourFile(file.replace(/\.ts$/, ''))]
  const deno = fileURLToPath(import.meta.resolve('deno/bin.cjs'))
  return [deno, 'run', '--allow-all', '--quiet', '--config', 'deno-compat/deno.json', file]
}

/** uvu prints one summary per file; several mean that tests were registered after it had begun to run. */
export function parseSummaries(output: string): Summary[] {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: terminal colours begin with an escape character
  const plain = output.replace(/\u001b\[[0-9;]*m/g, '').replaceAll('\r\n', '\n')
  return [...plain.matchAll(/^ {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +(\d+)\n {2}Duration: /gm)].map(
    ([, total, passed, skipped]) => ({ total: Number(total), passed: Number(passed), skipped: Number(skipped) }),
  )
}

function problemsOf(summaries: Summary[]): string[] {
  const [summary, ...more] = summaries
  if (!summary) return ['its tests did not run to the end: is .run() missing, or did it exit early?']
  const problems: string[] = []
  if (more.length > 0) problems.push(`it reported ${summaries.length} times: is a .run() called late?`)
  if (summary.total === 0) problems.push('it ran no test')
  if (summary.passed !== summary.total)
    problems.push(`${summary.total - summary.passed} of ${summary.total} tests failed`)
  if (summary.skipped > 0) problems.push(`${summary.skipped} tests were skipped`)
  return problems
}

async function waitForOrphans(family: ProcessFamily): Promise<string[]> {
  const deadline = performance.now() + ORPHAN_GRACE_MS
  let orphans = family.orphans()
  while (orphans.length > 0 && performance.now() < deadline) {
    await sleep(50)
    orphans = family.orphans()
  }
  return orphans
}
