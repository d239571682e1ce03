import { MOST_BAND_PIXELS } from '../kernel/render.ts'

/*
 * What the threads that draw a large picture share with whoever reads it: whether it is to stop, which band is next,
 * and room for the colours of a few bands. Band k takes room k modulo how many there are, so a band is begun once the
 * one that had its room before has been read.
 */

/** Words of a ring's memory. */
const word = { stop: 0, rows: 1, next: 2, read: 3, count: 4 } as const

const BYTES_PER_PIXEL = 3
const ROOM_BYTES = MOST_BAND_PIXELS * BYTES_PER_PIXEL

/** Shared memory. `rooms`: how many; `bands`: how many the picture has. */
export type Ring = { words: Int32Array; colours: SharedArrayBuffer; rooms: number; bands: number }

/** Room for the colours of so many bands of any picture. */
export const coloursOf = (rooms: number): SharedArrayBuffer => new SharedArrayBuffer(rooms * ROOM_BYTES)

export const openRing = (colours: SharedArrayBuffer, bands: number): Ring => ({
  words: new Int32Array(new SharedArrayBuffer(word.count * Int32Array.BYTES_PER_ELEMENT)),
  colours,
  rooms: colours.byteLength / ROOM_BYTES,
  bands,
})

/** The colours of a band of so many pixels: 3 bytes each (red, green, blue). */
export const roomOf = ({ colours, rooms }: Ring, band: number, pixels: number): Uint8Array =>
  new Uint8Array(colours, (band % rooms) * ROOM_BYTES, pixels * BYTES_PER_PIXEL)

/** The band that is next, where a thread could begin it. */
function peek({ words, rooms, bands }: Ring): number | null {
  const next = Atomics.load(words, word.next)
  return next < bands && next < Atomics.load(words, word.read) + rooms ? next : null
}

export const hasNext = (ring: Ring): boolean => peek(ring) !== null

/** The band that is now the caller's to draw; null where none can be begun. */
export function takeNext(ring: Ring): number | null {
  for (;;) {
    const next = peek(ring)
    if (next === null || Atomics.compareExchange(ring.words, word.next, next, next + 1) === next) return next
  }
}

/** One more band, in their order, has been read: its room is free. */
export const freeRoom = ({ words }: Ring): void => void Atomics.add(words, word.read, 1)

export const stopRing = ({ words }: Ring): void => void Atomics.store(words, word.stop, 1)
export const isStopped = ({ words }: Ring): boolean => Atomics.load(words, word.stop) !== 0

export const addRows = ({ words }: Ring, rows: number): void => void Atomics.add(words, word.rows, rows)
/** Whole rows drawn so far. */
export const rowsOf = ({ words }: Ring): number => Atomics.load(words, word.rows)
