import { execFileSync, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { FractalParams } from '../../events/fractal.ts'
import { openDrawing } from '../../services/kernel/drawing.ts'
import { plainDrawing } from '../../services/kernel/julia.ts'
import { renderPng } from '../../services/kernel/render.ts'
import { createRenderPool, type RenderPool } from '../../services/worker/render-pool.ts'
import { collect } from '../support/collect.ts'
import { type DrawOptions, drawRows } from '../support/draw-rows.ts'
import { root } from '../support/project.ts'
import { withTempDir } from '../support/temp.ts'
import { percentile, type Row, type Suite } from './row.ts'

const ROUNDS = 30

const { rgb_sha256, first_row_rgb_sha256, original_seconds, ...golden }: FractalParams & Record<string, unknown> =
  JSON.parse(readFileSync(join(root, 'test/golden/julia.json'), 'utf8')).find(
    ({ width, height }: FractalParams) => width === 1000 && height === 1000,
  )

/** So large that its bands keep more than one thread busy. */
const large: FractalParams = { ...golden, width: 4000, height: 4000 }
const LARGE_ROUNDS = 20

/**
 * The golden picture of 1000 × 1000 on one thread, in alternating rounds with C (where gcc is there), and against a
 * loop in CPython (where python3 is there). A larger one on a worker's threads, two against one.
 */
export const kernel: Suite = {
  name: 'kernel',
  run: () =>
    withTempDir(async (dir) => {
      const rows: Row[] = []
      const drawn = (open: NonNullable<DrawOptions['open']>) => () => drawRows(golden, 0, golden.height, { open })
      const ways: Record<string, () => unknown> = {
        kernel: drawn(openDrawing),
        'plain TypeScript': drawn(plainDrawing),
        PNG: () => collect(renderPng({ uuid: null, params: golden })),
      }
      const c = compileReference(dir)
      if (c) {
        await requireSamePicture(c)
        ways['plain C'] = async () => (await c.draw('plain')).ms
        ways['vectorized C'] = async () => (await c.draw('vectorized')).ms
      }
      const samples = new Map(Object.keys(ways).map((name) => [name, [] as number[]]))
      for (let round = -3; round < ROUNDS; round++) {
        for (const [name, draw] of Object.entries(ways)) {
          const startedAt = performance.now()
          const itself = await draw()
          const ms = typeof itself === 'number' ? itself : performance.now() - startedAt
          if (round >= 0) samples.get(name)?.push(ms) // the first ones warm up
        }
      }
      c?.end()
      // The quicker ones tell of the program, the slower ones of who else uses the machine.
      const ms = (name: string) => percentile(samples.get(name) ?? [], 0.25)
      const against = (name: string, other: string) =>
        rows.push({
          name,
          value: ms(name.replace(/,.*/, '')),
          unit: 'ms',
          reference: { name: other, value: ms(other) },
        })
      against('kernel, one thread', 'plain TypeScript')
      if (c) {
        against('kernel, one thread', 'plain C')
        against('kernel, one thread', 'vectorized C')
        against('PNG, one thread', 'plain C')
      }
      const python = pythonMs()
      if (python !== null) {
        rows.push({
          name: 'PNG, one thread',
          value: ms('PNG'),
          unit: 'ms',
          reference: { name: 'CPython, no PNG', value: python },
        })
      }
      return [...rows, ...(await twoThreads())]
    }),
}

/**
 * Two threads share one picture; and two pictures are drawn side by side, each on one thread, which is all that two
 * cores of this machine can give. What is quickest counts, for both cores have to be free at once.
 */
async function twoThreads(): Promise<Row[]> {
  const [one, other, both] = [1, 1, 2].map(createRenderPool) as [RenderPool, RenderPool, RenderPool]
  const draw = async (pool: RenderPool) => {
    const rendering = await pool.render({ uuid: null, params: large }, new AbortController().signal)
    for await (const _ of rendering.chunks);
    rendering.stop()
  }
  const ways = [() => draw(one), () => draw(both), () => Promise.all([draw(one), draw(other)])]
  const samples = ways.map(() => [] as number[])
  try {
    for (let round = -1; round < LARGE_ROUNDS; round++) {
      for (const [k, way] of ways.entries()) {
        const startedAt = performance.now()
        await way()
        if (round >= 0) samples[k]?.push(performance.now() - startedAt)
      }
    }
  } finally {
    for (const pool of [one, other, both]) await pool.close()
  }
  const [alone, shared, sideBySide] = samples.map((ms) => Math.min(...ms)) as [number, number, number]
  return [
    {
      name: 'PNG of 4000 × 4000, two threads',
      value: shared,
      unit: 'ms',
      reference: { name: 'one thread', value: alone },
    },
    {
      name: 'PNG of 4000 × 4000, two threads',
      value: shared,
      unit: 'ms',
      reference: { name: 'half of two at once', value: sideBySide / 2 },
    },
  ]
}

const numbers = ({ width, height, iterations, xa, xb, ya, yb, cx, cy }: FractalParams) =>
  [width, height, iterations, xa, xb, ya, yb, cx, cy].map(String)

/** Milliseconds that it took by its own clock, and a sum of the picture (hex). */
type Reference = { draw(how: 'plain' | 'vectorized'): Promise<{ ms: number; sum: string }>; end(): void }

/** Whoever draws another picture is no reference. */
async function requireSamePicture(c: Reference): Promise<void> {
  let expected = 0n
  for (const index of drawRows(golden, 0, golden.height)) expected = BigInt.asUintN(64, expected * 31n + BigInt(index))
  for (const how of ['plain', 'vectorized'] as const) {
    const { sum } = await c.draw(how)
    if (BigInt(`0x${sum}`) !== expected) throw new Error(`the ${how} reference draws another picture than the kernel`)
  }
}

function compileReference(dir: string): Reference | null {
  const program = join(dir, 'escape')
  const source = join(import.meta.dirname, 'escape.c')
  try {
    const flags = ['-O3', '-march=native', '-ffp-contract=off', '-std=gnu11']
    execFileSync('gcc', [...flags, source, '-o', program], { stdio: ['ignore', 'ignore', 'inherit'] })
  } catch {
    return null
  }
  const child = spawn(program, numbers(golden), { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    async draw(how) {
      child.stdin.write(`${how}\n`)
      const { value } = await lines.next()
      if (value === undefined) throw new Error('the reference in C ended')
      const [ms, sum] = value.split(' ')
      return { ms: Number(ms), sum }
    },
    end: () => child.stdin.end(),
  }
}

const PYTHON = `
import sys, time
width, height, iterations = map(int, sys.argv[1:4])
xa, xb, ya, yb, cx, cy = map(float, sys.argv[4:])
begun = time.perf_counter()
for y in range(height):
    zy0 = y * (yb - ya) / (height - 1) + ya
    for x in range(width):
        z = complex(x * (xb - xa) / (width - 1) + xa, zy0)
        c = complex(cx, cy)
        for i in range(iterations):
            if abs(z) > 2.0:
                break
            z = z * z + c
print((time.perf_counter() - begun) * 1000)
`

function pythonMs(): number | null {
  try {
    return Number(execFileSync('python3', ['-c', PYTHON, ...numbers(golden)], { encoding: 'utf8' }))
  } catch {
    return null
  }
}
