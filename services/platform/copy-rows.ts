import { Buffer } from 'node:buffer'
import { getTableColumns } from 'drizzle-orm'
import type { PgTable } from 'drizzle-orm/pg-core'

/*
 * Rows in the binary format of COPY, which costs both sides less than text.
 * Source: the PostgreSQL manual, COPY, "Binary Format"; and of each type its function `…_recv`.
 */

/** In front of the rows: that it is this format, no flags, and nothing else before the first row. */
const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')
/** After them. */
const TRAILER = Buffer.from([0xff, 0xff])
/** What COPY takes where there is nothing to copy. */
export const NO_ROWS = Buffer.concat([SIGNATURE, TRAILER])

const LEAST_BYTES = 1 << 16

/** `at`: where the next byte goes. */
type Output = { bytes: Buffer; view: DataView; at: number }

/** One value, its length in bytes before it. Throws a `Refused` for one that the column cannot hold. */
type Writer = (out: Output, value: unknown) => void

/** What PostgreSQL would say of such a value (class 22, data exception), had it been sent. */
class Refused extends RangeError {
  readonly code = '22000'
}

/** What each column of a row holds, from whatever it is made of: times are Unix milliseconds, which leave no `Date` behind. */
export type ColumnsFrom<S, Row> = { readonly [F in keyof Row]: (source: S) => InColumn<Row[F]> }
type InColumn<V> = V extends Date ? number : V

export type RowEncoder<S> = {
  /** Adds a row. Throws an error of SQLSTATE class 22, and adds none, for a value that the table cannot hold. */
  add(source: S): void
  /** What COPY takes: the rows that were added since the last time. */
  take(): Uint8Array
}

/**
 * Makes rows of a table, with all of its columns in their order. Each is written where it stays until it is sent, and none is
 * made as an object on the way: there are millions of them.
 */
export function rowEncoder<S, T extends PgTable>(
  table: T,
  columnsFrom: ColumnsFrom<S, T['$inferSelect']>,
): RowEncoder<S> {
  const columns = Object.entries(getTableColumns(table)).map(([field, column]) => ({
    from: columnsFrom[field as keyof T['$inferSelect']] as (source: S) => unknown,
    write: writerOf(column.getSQLType()),
  }))
  const out: Output = { ...outputOf(LEAST_BYTES), at: 0 }
  begin(out)
  return {
    add(source) {
      const before = out.at
      try {
        reserve(out, 2)
        out.view.setInt16(out.at, columns.length)
        out.at += 2
        for (const { from, write } of columns) {
          const value = from(source)
          if (value === null || value === undefined) writeLength(out, -1)
          else write(out, value)
        }
      } catch (error) {
        out.at = before
        throw error
      }
    },
    take() {
      reserve(out, TRAILER.length)
      const end = out.at + TRAILER.copy(out.bytes, out.at)
      const taken = out.bytes.subarray(0, end)
      // As much again, and some room: rows differ in length, and to grow is to copy.
      Object.assign(out, outputOf(Math.max(LEAST_BYTES, 1.25 * end)))
      begin(out)
      return taken
    },
  }
}

function begin(out: Output): void {
  out.at = SIGNATURE.copy(out.bytes)
}

function writerOf(type: string): Writer {
  if (type.startsWith('timestamp')) return writeTimestamp
  const writer = writers[type]
  if (!writer) throw new Error(`cannot write values of the type ${type}`)
  return writer
}

const writers: Readonly<Record<string, Writer>> = {
  text: writeText,
  uuid: writeUuid,
  integer: writeInteger,
  bigint: writeBigint,
  'double precision': writeDouble,
}

function outputOf(size: number): Omit<Output, 'at'> {
  const bytes = Buffer.allocUnsafeSlow(Math.ceil(size))
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) }
}

/** Room for so many bytes and a length. */
function reserve(out: Output, size: number): void {
  const wanted = out.at + size + 4
  if (wanted <= out.bytes.length) return
  const larger = outputOf(Math.max(wanted, 2 * out.bytes.length))
  out.bytes.copy(larger.bytes, 0, 0, out.at)
  Object.assign(out, larger)
}

function writeLength(out: Output, length: number): void {
  reserve(out, Math.max(length, 0))
  out.view.setInt32(out.at, length)
  out.at += 4
}

function writeText(out: Output, value: unknown): void {
  const text = String(value)
  reserve(out, 3 * text.length)
  const length = out.bytes.write(text, out.at + 4)
  out.view.setInt32(out.at, length)
  out.at += 4 + length
}

function writeInteger(out: Output, value: unknown): void {
  if (typeof value !== 'number' || (value | 0) !== value) throw new Refused(`${value} is no integer of 32 bits`)
  writeLength(out, 4)
  out.view.setInt32(out.at, value)
  out.at += 4
}

function writeBigint(out: Output, value: unknown): void {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw new Refused(`${value} is no safe integer`)
  writeLength(out, 8)
  writeWide(out, value)
}

/** A whole number, of 64 bits in two's complement. */
function writeWide(out: Output, value: number): void {
  out.view.setInt32(out.at, Math.floor(value / 2 ** 32))
  out.view.setUint32(out.at + 4, value >>> 0)
  out.at += 8
}

function writeDouble(out: Output, value: unknown): void {
  if (typeof value !== 'number') throw new Refused(`${value} is no number`)
  writeLength(out, 8)
  out.view.setFloat64(out.at, value)
  out.at += 8
}

/** Midnight of 2000-01-01, UTC, in Unix milliseconds: PostgreSQL counts microseconds from there. */
const EPOCH_MS = 946_684_800_000
/** Nor is there a `Date` that is further from 1970. */
const MOST_MS = 8.64e15

function writeTimestamp(out: Output, value: unknown): void {
  if (typeof value !== 'number' || !(Math.abs(value) <= MOST_MS)) throw new Refused(`${value} is no time`)
  const ms = Math.trunc(value) - EPOCH_MS
  writeLength(out, 8)
  // Some centuries away it is more than a number can hold exactly.
  if (Number.isSafeInteger(ms * 1_000)) writeWide(out, ms * 1_000)
  else {
    out.view.setBigInt64(out.at, BigInt(ms) * 1_000n)
    out.at += 8
  }
}

const DASH = 0x2d
/** Of each character code: the hexadecimal digit that it is, or -1. */
const DIGITS = Int8Array.from({ length: 128 }, (_, code) =>
  '0123456789abcdef'.indexOf(String.fromCharCode(code).toLowerCase()),
)
const digit = (text: string, at: number) => DIGITS[text.charCodeAt(at)] ?? -1

function writeUuid(out: Output, value: unknown): void {
  const text = String(value)
  writeLength(out, 16)
  let isUuid = text.length === 36
  for (let i = 0; i < 36; i += 2) {
    if (i === 8 || i === 13 || i === 18 || i === 23) isUuid = text.charCodeAt(i++) === DASH && isUuid
    const byte = (digit(text, i) << 4) | digit(text, i + 1)
    isUuid &&= byte >= 0
    out.bytes[out.at++] = byte
  }
  if (!isUuid) throw new Refused(`'${text}' is no uuid`)
}
