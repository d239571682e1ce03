import { decode } from '../../events/codec.ts'
import { type EventType, schemaVersions } from '../../events/events.ts'
import { eventTypes } from '../../events/subjects.ts'
import type { Log } from '../../services/platform/log.ts'

/** The version of data that only the newer program knows, as an attribute of a message. */
export const NEWER = { 'ce-schemaversion': '2' }
/** The type of event that only the newer program knows. It is what TaskCancelled is to this one. */
export const PAUSED = { 'ce-type': 'TaskPaused' }

const versions = Object.fromEntries(eventTypes.map((type) => [type, schemaVersions[type] + 1])) as Record<
  EventType,
  number
>
const lift = Object.fromEntries(eventTypes.map((type) => [type, { [schemaVersions[type]]: (data: object) => data }]))

/** How a program decodes that is a version ahead of this one: it knows one version more of each type, and a type more. */
export const decodeAsNewer: Log['decode'] = ({ header, body }, position) => {
  const known = (name: string) => (header(name) === PAUSED['ce-type'] ? 'TaskCancelled' : header(name))
  return decode({ header: known, body }, position, lift, versions)
}
