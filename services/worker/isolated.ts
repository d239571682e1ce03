import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { PassThrough, type Readable, type Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { FaafoError } from '../../events/errors.ts'
import { abortedError } from '../kernel/render.ts'
import { errorOf, type Failure } from './failure.ts'
import type { Report } from './isolated-main.ts'
import type { Renderer } from './rendering.ts'

/** Limit of the child's JavaScript heap in MB. A band of pixels is all that a render holds. */
const HEAP_MB = 256

/**
 * Renders in a process of its own. Where that ends without a word, whatever the reason, the rendering's chunks end
 * with `render-crashed`.
 */
export const renderIsolated: Renderer = async (job, signal) => {
  if (signal.aborted) throw abortedError()
  const { command, args } = program()
  const startedAt = performance.now()
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const stop = () => {
    signal.removeEventListener('abort', stop)
    child.kill('SIGKILL')
  }
  signal.addEventListener('abort', stop)

  const ended = once(child, 'close').catch((error) => {
    throw new FaafoError('render-failed', 'cannot render the fractal: no process could be started', { cause: error })
  })
  ended.catch(() => {}) // the chunks tell
  child.stdin.on('error', () => {}) // a child that ended is noticed by that
  child.stdin.write(`${JSON.stringify(job)}\n`)
  const last: { rows: number; pixelChecksum?: string } & Partial<Failure> = { rows: 0 }
  // Once the child has ended, Node throws away what it wrote and nobody has begun to read.
  const output = child.stdout.pipe(new PassThrough())
  const lines = createInterface({ input: child.stderr })
  lines.on('line', (line) => Object.assign(last, parseReport(line)))

  async function* chunks(): AsyncGenerator<Uint8Array, void> {
    for await (const chunk of output) yield chunk
    const [code, killedBy] = await ended
    if (signal.aborted) throw abortedError()
    if (last.error) throw errorOf({ error: last.error })
    if (last.pixelChecksum !== undefined) return
    const how = killedBy ? `by ${killedBy}` : `with exit code ${code}`
    throw new FaafoError('render-crashed', `cannot render the fractal: the process that rendered it was ended ${how}`)
  }

  return {
    chunks: chunks(),
    pixelChecksum: () => last.pixelChecksum ?? '',
    rows: () => last.rows,
    startedAt: () => startedAt,
    stop,
  }
}

function program(): { command: string; args: string[] } {
  const source = import.meta.url.endsWith('.ts')
  const entry = fileURLToPath(new URL(`./isolated-main.${source ? 'ts' : 'js'}`, import.meta.url))
  const heap = `--max-old-space-size=${HEAP_MB}`
  if ('Deno' in globalThis) {
    return { command: process.execPath, args: ['run', '-A', `--v8-flags=${heap}`, entry] }
  }
  // The flags that this process was started with are those by which it can read TypeScript.
  return { command: process.execPath, args: [heap, ...(source ? process.execArgv : []), entry] }
}

function parseReport(line: string): Report | undefined {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
