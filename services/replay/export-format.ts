import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { isSlot } from '../../events/subjects.ts'
import type { LogMessage } from '../platform/log-reader.ts'

/*
 * What an export is made of. `events.ndjson` has a line for each event, in the order of the log:
 *
 *   {"seq":42,"recordedtime":"2026-01-31T12:00:00.000Z","slot":"fractal.requested.<uuid>.1","event":{…},"hash":"…"}
 *
 * `event` is the event as it was stored, in the version in which it was written, as CloudEvents in the JSON format:
 * attributes are texts, as in the headers, and `data_base64` stands for data that is no JSON or not written as we write
 * it, so that every byte comes back. `hash` is the SHA-256, in hex, of the hash of the line before followed by this
 * line's bytes up to `,"hash":`. `manifest.json` says what the lines are of, how many they are and the last hash; it is
 * sealed in the same way, with the last hash as the one before.
 */

export type ExportedEvent = {
  /** In the log that was exported. */
  seq: number
  /** When it was first recorded, RFC 3339. */
  recordedtime: string
  /** Its subject, without a namespace. */
  slot: string
  event: Record<string, unknown>
}

/** The line of a message: what it says, its bytes with their end, and its hash. */
export function lineOf(
  message: LogMessage,
  slot: string,
  previous: string,
): { exported: ExportedEvent; bytes: Buffer; hash: string } {
  const { seq, recordedAt } = message
  const exported: ExportedEvent = {
    seq,
    recordedtime: new Date(recordedAt).toISOString(),
    slot,
    event: eventOf(message),
  }
  return { exported, ...seal(JSON.stringify(exported).slice(0, -1), previous) }
}

/** Of a text that is a JSON object but for its closing brace. */
function seal(content: string, previous: string): { bytes: Buffer; hash: string } {
  const hash = hashOf(previous, Buffer.from(content))
  return { bytes: Buffer.from(`${content},"hash":"${hash}"}\n`), hash }
}

/** `,"hash":"<64 digits>"}` */
const SEAL_BYTES = 75

/** The JSON under a seal. Throws an error that says why it is broken; nothing else of the text is known to be so. */
function unseal(line: Buffer, previous: string): { value: unknown; hash: string } {
  const end = line.length - SEAL_BYTES
  const [, hash] = /^,"hash":"([0-9a-f]{64})"\}$/.exec(line.subarray(Math.max(0, end)).toString('latin1')) ?? []
  if (hash === undefined) throw new Error('it does not end with a hash')
  const content = line.subarray(0, end)
  if (hashOf(previous, content) !== hash) throw new Error('its hash does not match')
  return { value: JSON.parse(`${content}}`), hash }
}

const hashOf = (previous: string, content: Uint8Array) =>
  createHash('sha256').update(previous).update(content).digest('hex')

function eventOf({ headers, body }: LogMessage): Record<string, unknown> {
  const event: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (name === 'content-type') event.datacontenttype = value
    else if (name.startsWith('ce-')) event[name.slice('ce-'.length)] = value
  }
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length)
  try {
    const data: unknown = JSON.parse(bytes.toString())
    if (Buffer.from(JSON.stringify(data)).equals(bytes)) return { ...event, data }
  } catch {
    // no JSON
  }
  return { ...event, data_base64: bytes.toString('base64') }
}

const lineSchema = z.object({
  seq: z.int().min(1),
  recordedtime: z.iso.datetime(),
  slot: z.string().refine(isSlot),
  event: z
    .record(z.string(), z.unknown())
    .refine(({ data, data_base64 }) => data !== undefined || typeof data_base64 === 'string'),
})

/** Of a line without its end. Throws an error that says what is wrong with it. */
export function readLine(line: Buffer, previous: string): { exported: ExportedEvent; hash: string } {
  const { value, hash } = unseal(line, previous)
  const { error } = lineSchema.safeParse(value)
  if (error) throw new Error(`its ${error.issues[0]?.path.join('.') || 'content'} is not what an export has there`)
  return { exported: value as ExportedEvent, hash }
}

/** The message that is to be stored: what `eventOf` was made of. */
export function messageOf({ event }: ExportedEvent): { headers: Record<string, string>; body: string | Buffer } {
  const { data, data_base64, datacontenttype, ...attributes } = event
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(attributes)) headers[`ce-${name}`] = String(value)
  if (datacontenttype !== undefined) headers['content-type'] = String(datacontenttype)
  const body = typeof data_base64 === 'string' ? Buffer.from(data_base64, 'base64') : JSON.stringify(data)
  return { headers, body }
}

const hash = z.string().regex(/^[0-9a-f]{64}$/)
const cursor = z.string().nullable()
const manifestSchema = z.strictObject({
  format: z.literal('faafo-export'),
  version: z.literal(1),
  /** Version of the program that wrote it. */
  program: z.string(),
  writtenAt: z.iso.datetime(),
  /** Creation time of the log, as its broker tells it. */
  log: z.string(),
  /** The cursor after which it begins; null: the start of the log. */
  since: cursor,
  /** No until it was brought to its end once. */
  complete: z.boolean(),
  events: z.int().min(0),
  /** Of events.ndjson; what is there beyond is of an export that was interrupted. */
  bytes: z.int().min(0),
  first: cursor,
  last: cursor,
  /** Hash of the last line. */
  head: hash,
  /** Images of the events that are beside them, and that were not to be had; null: none was asked for. */
  images: z.object({ copied: z.int(), missing: z.int() }).nullable(),
})
export type Manifest = Omit<z.output<typeof manifestSchema>, 'format' | 'version'>

/** What stands for the hash of a line before the first. */
export const originOf = ({ log, since }: Pick<Manifest, 'log' | 'since'>): string =>
  hashOf('', Buffer.from(JSON.stringify(['faafo-export', 1, log, since])))

export const manifestBytes = (manifest: Manifest): Buffer =>
  seal(JSON.stringify({ format: 'faafo-export', version: 1, ...manifest }).slice(0, -1), manifest.head).bytes

/** Throws an error that says what is wrong with it. */
export function readManifestBytes(bytes: Buffer): Manifest {
  const { hash: _, ...value } = JSON.parse(bytes.toString())
  if (value.format !== 'faafo-export') throw new Error('it is no manifest of an export')
  if (value.version !== 1) throw new Error(`format ${value.version} is newer than the format 1 that this program knows`)
  const { data, error } = manifestSchema.safeParse(value)
  if (!data) throw new Error(`its ${error?.issues[0]?.path.join('.') || 'content'} is not what a manifest has there`)
  const { format, version, ...manifest } = data
  if (!manifestBytes(manifest).equals(bytes)) throw new Error('its hash does not match')
  return manifest
}
