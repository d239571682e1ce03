import type { FractalParams } from '../../events/fractal.ts'
import type { Drawing } from './drawing.ts'
import { juliaWasm } from './julia-wasm.generated.ts'

/** What assembly/julia.ts exports; its pointers are byte offsets in `memory`. */
type Instance = {
  memory: { buffer: ArrayBuffer }
  maxPixels: { value: number }
  indices: { value: number }
  counts: { value: number }
  colours: { value: number }
  picture(
    width: number,
    height: number,
    iterations: number,
    xa: number,
    xb: number,
    ya: number,
    yb: number,
    cx: number,
    cy: number,
  ): void
  tile(y0: number, y1: number): void
  run(iterations: number): number
  paint(pixels: number): void
}

// Node, Deno and browsers have it; the language's own library does not declare it.
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object) => { exports: unknown }
}

let module: object | undefined
/** Instances that nobody uses just now: making one costs more than a small picture. */
const idle: Instance[] = []

function takeInstance(): Instance {
  module ??= new WebAssembly.Module(Uint8Array.from(atob(juliaWasm), (char) => char.charCodeAt(0)))
  return idle.pop() ?? (new WebAssembly.Instance(module).exports as Instance)
}

/**
 * Whether the vectorized kernel is exact. It lets an orbit run on after it has escaped, so an orbit must not come back:
 * for |z| > 2, |z² + c| ≥ |z|² − |c| > 4 − 1.975 leaves room enough for every rounding where |c|² ≤ 3.9, and what
 * overflows stays infinite or becomes NaN. And it counts NaN as escaped, so no point may begin as one, which takes a
 * window whose size overflows.
 */
export const isExactInSimd = ({ xa, xb, ya, yb, cx, cy }: FractalParams): boolean =>
  cx * cx + cy * cy <= 3.9 && Number.isFinite(xb - xa) && Number.isFinite(yb - ya)

/** Draws in WebAssembly, eight pixels at a time: the pixels of `plainDrawing`. Asks for `isExactInSimd`. */
export function simdDrawing(params: FractalParams): Drawing {
  const { width, height, iterations, xa, xb, ya, yb, cx, cy } = params
  const instance = takeInstance()
  instance.picture(width, height, iterations, xa, xb, ya, yb, cx, cy)
  let pixels = 0
  return {
    tileRows: Math.max(1, Math.floor(instance.maxPixels.value / width)),
    begin(y0, y1) {
      pixels = (y1 - y0) * width
      instance.tile(y0, y1)
    },
    run: instance.run,
    indices: () => new Uint8Array(instance.memory.buffer, instance.indices.value, pixels),
    counts: () => new Uint32Array(instance.memory.buffer, instance.counts.value, pixels),
    close: () => void idle.push(instance),
  }
}

/** Yields the colours of palette indices, 3 bytes each (red, green, blue), in parts: each is good until the next. */
export function* paint(indices: Uint8Array): Generator<Uint8Array, void> {
  const instance = takeInstance()
  try {
    const most = instance.maxPixels.value
    for (let from = 0; from < indices.length; from += most) {
      const part = indices.subarray(from, from + most)
      new Uint8Array(instance.memory.buffer, instance.indices.value, part.length).set(part)
      instance.paint(part.length)
      yield new Uint8Array(instance.memory.buffer, instance.colours.value, 3 * part.length)
    }
  } finally {
    idle.push(instance)
  }
}
