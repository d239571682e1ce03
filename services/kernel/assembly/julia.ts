/*
 * The escape-time loop of Julia sets, eight pixels at a time. AssemblyScript: the build makes a WebAssembly module
 * without imports of it. `../simd-drawing.ts` is what the rest of the system sees of it, `../julia.ts` the same in plain
 * TypeScript, which the tests hold it to.
 *
 * A tile is up to MAX_PIXELS pixels in whole rows. Eight neighbours run together until so few of them are left that
 * the other lanes had better go to somebody else. Those that are left go to a list; the list is gone through in the
 * same way, eight at a time, until it is empty. What happens to a pixel is the same wherever it waits.
 *
 * A lane goes on for a while after its pixel has escaped. That is exact only where an orbit that has left the circle
 * |z| = 2 never comes back, in floating point too; `../simd-drawing.ts` asks for no other.
 */

const MAX_PIXELS: i32 = 16384
const LANES: i32 = 8

/** A group is given up once no more than so many of its pixels are left. */
const FEW: i32 = 4

/** Iterations from one look at who is left to the next, and such looks from one search for a repeating orbit to the next. */
const STRIDE: i32 = 4
const LOOKS: i32 = 8

// Where the arrays begin, in bytes. Each has room for one group more than it holds.
const ROOM: usize = MAX_PIXELS + LANES
const SAVED: usize = 1024
const COLUMNS: usize = SAVED + 128
const COUNTS: usize = COLUMNS + ROOM * 8
const INDICES: usize = COUNTS + ROOM * 4
const LIST_X: usize = INDICES + ROOM
const LIST_Y: usize = LIST_X + ROOM * 8
const LIST_COUNT: usize = LIST_Y + ROOM * 8
const LIST_PIXEL: usize = LIST_COUNT + ROOM * 4
/** In the list's place, which is empty between tiles. */
const COLOURS: usize = LIST_X

// The picture.
let width: i32 = 0
let limit: i32 = 0
let ya: f64 = 0
let dy: f64 = 0
let lastRow: f64 = 0
let cx: f64 = 0
let cy: f64 = 0

// The tile, and how far it has come: whether its pixels run for the first time, from which row; where the next group
// begins (its column, or its place in the list); how many the list holds, and how many of those it keeps.
let fromRow: i32 = 0
let rows: i32 = 0
let first: bool = false
let row: i32 = 0
let next: i32 = 0
let listed: i32 = 0
let kept: i32 = 0

export const maxPixels: i32 = MAX_PIXELS
/** Where a finished tile's escape counts are (u32; the limit or more: never escaped). */
export const counts: usize = COUNTS
/** Where a finished tile's palette indices are (u8), or those that are to be painted. */
export const indices: usize = INDICES
/** Where their colours are once they were painted: 3 bytes each (red, green, blue). */
export const colours: usize = COLOURS

/** Sets the picture: its size in pixels (at least 2), its iterations (at least 1), its window, and c. */
export function picture(
  pixelWidth: i32,
  pixelHeight: i32,
  iterations: i32,
  xa: f64,
  xb: f64,
  windowYa: f64,
  yb: f64,
  cRe: f64,
  cIm: f64,
): void {
  width = pixelWidth
  limit = iterations
  ya = windowYa
  dy = yb - windowYa
  lastRow = <f64>(pixelHeight - 1)
  cx = cRe
  cy = cIm
  const dx = xb - xa
  const lastColumn = <f64>(pixelWidth - 1)
  for (let x = 0; x < pixelWidth; x++) store<f64>(COLUMNS + f64s(x), (<f64>x * dx) / lastColumn + xa)
  // The lanes beyond the last column escape at once.
  for (let x = pixelWidth; x < pixelWidth + LANES; x++) store<f64>(COLUMNS + f64s(x), Infinity)
}

/** Begins the tile of rows [y0, y1). */
export function tile(y0: i32, y1: i32): void {
  fromRow = y0
  rows = y1 - y0
  first = true
  row = 0
  next = 0
  kept = 0
}

/**
 * Goes on with the tile for about so many iterations (the group in hand is finished) and returns how many of them are
 * left: more than 0 when the tile is done.
 */
export function run(iterations: f64): f64 {
  let left = iterations
  if (first) {
    for (; row < rows; row++) {
      for (; next < width; next += LANES) {
        if (left <= 0) return left
        left -= group(next)
      }
      next = 0
    }
    first = false
    turn()
  }
  while (listed > 0) {
    for (; next < listed; next += LANES) {
      if (left <= 0) return left
      left -= group(next)
    }
    turn()
  }
  finish()
  return max(left, 1)
}

/** Makes what was kept the list, filled up to whole groups with lanes that escape at once. */
function turn(): void {
  listed = kept
  kept = 0
  next = 0
  for (let k = listed; k & (LANES - 1); k++) {
    store<f64>(LIST_X + f64s(k), Infinity)
    store<f64>(LIST_Y + f64s(k), 0)
    store<i32>(LIST_COUNT + i32s(k), 0)
    store<i32>(LIST_PIXEL + i32s(k), MAX_PIXELS) // where nobody looks
  }
}

/** Runs one group and keeps who is left of it. Returns the iterations of all its lanes together. */
function group(at: i32): f64 {
  const re = f64x2.splat(cx)
  const im = f64x2.splat(cy)
  const four = f64x2.splat(4)
  const n = limit
  const isFirst = first
  let x0: v128, x1: v128, x2: v128, x3: v128
  let y0: v128, y1: v128, y2: v128, y3: v128
  let n0: v128, n1: v128, n2: v128, n3: v128
  let begun = 0
  let few = FEW
  if (isFirst) {
    const p = COLUMNS + f64s(at)
    x0 = v128.load(p)
    x1 = v128.load(p, 16)
    x2 = v128.load(p, 32)
    x3 = v128.load(p, 48)
    y0 = y1 = y2 = y3 = f64x2.splat((<f64>(fromRow + row) * dy) / lastRow + ya)
    n0 = n1 = n2 = n3 = i64x2.splat(0)
  } else {
    const px = LIST_X + f64s(at)
    const py = LIST_Y + f64s(at)
    const pn = LIST_COUNT + i32s(at)
    x0 = v128.load(px)
    x1 = v128.load(px, 16)
    x2 = v128.load(px, 32)
    x3 = v128.load(px, 48)
    y0 = v128.load(py)
    y1 = v128.load(py, 16)
    y2 = v128.load(py, 32)
    y3 = v128.load(py, 48)
    const low = v128.load(pn)
    const high = v128.load(pn, 16)
    n0 = i64x2.extend_low_i32x4_u(low)
    n1 = i64x2.extend_high_i32x4_u(low)
    n2 = i64x2.extend_low_i32x4_u(high)
    n3 = i64x2.extend_high_i32x4_u(high)
    begun = greatest(i32x4.max_s(low, high))
    if (listed <= LANES) few = 0
  }

  save(x0, y0, x1, y1, x2, y2, x3, y3)
  let looks = LOOKS
  let searches = 1
  let alive = 0
  let i = begun
  for (; i < n; i += STRIDE) {
    let xx: v128, yy: v128, xy: v128
    let in0: v128, in1: v128, in2: v128, in3: v128
    let k = STRIDE
    do {
      xx = f64x2.mul(x0, x0)
      yy = f64x2.mul(y0, y0)
      xy = f64x2.mul(x0, y0)
      in0 = f64x2.le(f64x2.add(xx, yy), four)
      n0 = i64x2.sub(n0, in0)
      x0 = f64x2.add(f64x2.sub(xx, yy), re)
      y0 = f64x2.add(f64x2.add(xy, xy), im)
      xx = f64x2.mul(x1, x1)
      yy = f64x2.mul(y1, y1)
      xy = f64x2.mul(x1, y1)
      in1 = f64x2.le(f64x2.add(xx, yy), four)
      n1 = i64x2.sub(n1, in1)
      x1 = f64x2.add(f64x2.sub(xx, yy), re)
      y1 = f64x2.add(f64x2.add(xy, xy), im)
      xx = f64x2.mul(x2, x2)
      yy = f64x2.mul(y2, y2)
      xy = f64x2.mul(x2, y2)
      in2 = f64x2.le(f64x2.add(xx, yy), four)
      n2 = i64x2.sub(n2, in2)
      x2 = f64x2.add(f64x2.sub(xx, yy), re)
      y2 = f64x2.add(f64x2.add(xy, xy), im)
      xx = f64x2.mul(x3, x3)
      yy = f64x2.mul(y3, y3)
      xy = f64x2.mul(x3, y3)
      in3 = f64x2.le(f64x2.add(xx, yy), four)
      n3 = i64x2.sub(n3, in3)
      x3 = f64x2.add(f64x2.sub(xx, yy), re)
      y3 = f64x2.add(f64x2.add(xy, xy), im)
    } while (--k)
    alive = bits(in0, in1, in2, in3)
    if (popcnt(alive) <= few) break
    if (--looks) continue
    looks = LOOKS
    // An orbit that comes back to where it was, bit for bit, never escapes.
    const r0 = isSaved(0, x0, y0)
    const r1 = isSaved(1, x1, y1)
    const r2 = isSaved(2, x2, y2)
    const r3 = isSaved(3, x3, y3)
    if (v128.any_true(v128.or(v128.or(r0, r1), v128.or(r2, r3)))) {
      const never = i64x2.splat(n)
      const gone = f64x2.splat(Infinity)
      n0 = v128.bitselect(never, n0, r0)
      n1 = v128.bitselect(never, n1, r1)
      n2 = v128.bitselect(never, n2, r2)
      n3 = v128.bitselect(never, n3, r3)
      x0 = v128.bitselect(gone, x0, r0)
      x1 = v128.bitselect(gone, x1, r1)
      x2 = v128.bitselect(gone, x2, r2)
      x3 = v128.bitselect(gone, x3, r3)
    }
    // The points move on ever more seldom (Brent's algorithm), so that every start-up and every period is found.
    if ((searches & (searches - 1)) == 0) save(x0, y0, x1, y1, x2, y2, x3, y3)
    searches++
  }

  if (isFirst) {
    const pixel = row * width + at
    const p = COUNTS + i32s(pixel)
    v128.store(p, lows(n0, n1))
    v128.store(p, lows(n2, n3), 16)
    if (alive) {
      let to = kept
      to = keep(to, alive, pixel, x0, y0, n0, pixel + 1)
      to = keep(to, alive >> 2, pixel + 2, x1, y1, n1, pixel + 3)
      to = keep(to, alive >> 4, pixel + 4, x2, y2, n2, pixel + 5)
      kept = keep(to, alive >> 6, pixel + 6, x3, y3, n3, pixel + 7)
    }
  } else {
    const q = LIST_PIXEL + i32s(at)
    const q0 = load<i32>(q)
    const q1 = load<i32>(q, 4)
    const q2 = load<i32>(q, 8)
    const q3 = load<i32>(q, 12)
    const q4 = load<i32>(q, 16)
    const q5 = load<i32>(q, 20)
    const q6 = load<i32>(q, 24)
    const q7 = load<i32>(q, 28)
    count(q0, n0, q1)
    count(q2, n1, q3)
    count(q4, n2, q5)
    count(q6, n3, q7)
    if (alive) {
      let to = kept
      to = keep(to, alive, q0, x0, y0, n0, q1)
      to = keep(to, alive >> 2, q2, x1, y1, n1, q3)
      to = keep(to, alive >> 4, q4, x2, y2, n2, q5)
      kept = keep(to, alive >> 6, q6, x3, y3, n3, q7)
    }
  }
  return <f64>(i - begun + STRIDE) * <f64>LANES
}

/** Notes the points that the orbits may come back to; in memory, for the loop needs every register. */
// @ts-ignore: decorator
@inline
function save(x0: v128, y0: v128, x1: v128, y1: v128, x2: v128, y2: v128, x3: v128, y3: v128): void {
  v128.store(SAVED, x0)
  v128.store(SAVED, y0, 16)
  v128.store(SAVED, x1, 32)
  v128.store(SAVED, y1, 48)
  v128.store(SAVED, x2, 64)
  v128.store(SAVED, y2, 80)
  v128.store(SAVED, x3, 96)
  v128.store(SAVED, y3, 112)
}

// @ts-ignore: decorator
@inline
function isSaved(k: usize, x: v128, y: v128): v128 {
  return v128.and(f64x2.eq(x, v128.load(SAVED + k * 32)), f64x2.eq(y, v128.load(SAVED + k * 32, 16)))
}

/** One bit for each lane. */
// @ts-ignore: decorator
@inline
function bits(a: v128, b: v128, c: v128, d: v128): i32 {
  return i16x8.bitmask(i16x8.narrow_i32x4_s(lows(a, b), lows(c, d)))
}

/** The lower halves of four 64-bit lanes. */
// @ts-ignore: decorator
@inline
function lows(a: v128, b: v128): v128 {
  return v128.shuffle<i32>(a, b, 0, 2, 4, 6)
}

// @ts-ignore: decorator
@inline
function greatest(a: v128): i32 {
  return max(
    max(i32x4.extract_lane(a, 0), i32x4.extract_lane(a, 1)),
    max(i32x4.extract_lane(a, 2), i32x4.extract_lane(a, 3)),
  )
}

/** Notes the counts of two pixels that are not neighbours. */
// @ts-ignore: decorator
@inline
function count(pixel0: i32, n: v128, pixel1: i32): void {
  store<i32>(COUNTS + i32s(pixel0), i32x4.extract_lane(n, 0))
  store<i32>(COUNTS + i32s(pixel1), i32x4.extract_lane(n, 2))
}

/** Writes two pixels to the list's place `to`, and to the one after it, and returns where the list then ends. */
// @ts-ignore: decorator
@inline
function keep(to: i32, alive: i32, pixel0: i32, x: v128, y: v128, n: v128, pixel1: i32): i32 {
  const n0 = i32x4.extract_lane(n, 0)
  v128.store64_lane(LIST_X + f64s(to), x, 0)
  v128.store64_lane(LIST_Y + f64s(to), y, 0)
  store<i32>(LIST_COUNT + i32s(to), n0)
  store<i32>(LIST_PIXEL + i32s(to), pixel0)
  to += alive & i32(n0 < limit)
  const n1 = i32x4.extract_lane(n, 2)
  v128.store64_lane(LIST_X + f64s(to), x, 1)
  v128.store64_lane(LIST_Y + f64s(to), y, 1)
  store<i32>(LIST_COUNT + i32s(to), n1)
  store<i32>(LIST_PIXEL + i32s(to), pixel1)
  return to + ((alive >> 1) & i32(n1 < limit))
}

/** Palette indices from counts: those of the escape index (limit − 1 where there was no escape) modulo 32. */
function finish(): void {
  const pixels = rows * width
  const last = i32x4.splat(limit - 1)
  const mask = i32x4.splat(31)
  for (let k = 0; k < pixels; k += LANES) {
    const p = COUNTS + i32s(k)
    const low = v128.and(i32x4.min_u(v128.load(p), last), mask)
    const high = v128.and(i32x4.min_u(v128.load(p, 16), last), mask)
    const narrow = i16x8.narrow_i32x4_u(low, high)
    v128.store64_lane(INDICES + <usize>k, i8x16.narrow_i16x8_u(narrow, narrow), 0)
  }
}

/** Paints so many indices, 16 at a time: i is of red 32 i, green 16 i and blue 8 i, modulo 256. */
export function paint(pixels: i32): void {
  let to = COLOURS
  for (let k = 0; k < pixels; k += 16) {
    const i = v128.load(INDICES + <usize>k)
    const r = i8x16.shl(i, 5)
    const g = i8x16.shl(i, 4)
    const b = i8x16.shl(i, 3)
    // Red and green first, then blue where a 0 stands.
    const rg0 = v128.shuffle<i8>(r, g, 0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5)
    const rg1 = v128.shuffle<i8>(r, g, 21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26)
    const rg2 = v128.shuffle<i8>(r, g, 0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0)
    v128.store(to, v128.shuffle<i8>(rg0, b, 0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15))
    v128.store(to, v128.shuffle<i8>(rg1, b, 0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15), 16)
    v128.store(to, v128.shuffle<i8>(rg2, b, 26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31), 32)
    to += 48
  }
}

// @ts-ignore: decorator
@inline
function f64s(k: i32): usize {
  return <usize>k << 3
}

// @ts-ignore: decorator
@inline
function i32s(k: i32): usize {
  return <usize>k << 2
}
