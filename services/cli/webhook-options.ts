import { readFile } from 'node:fs/promises'
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { EventType } from '../../events/events.ts'
import { eventTypes } from '../../events/subjects.ts'
import { type Status, statuses } from '../../events/task.ts'
import { wrongWithUrl } from '../../events/webhook-url.ts'
import { reasonOf } from './output.ts'
import { parseUuid, usageError } from './session.ts'

/* Options of the commands about webhooks, and what they mean. */

export type Selection = { type?: EventType[]; status?: (Status | 'deleted')[]; uuid?: string[] }

export const addSelection = (command: Command): Command =>
  command
    .addOption(new Option('--type <types...>', 'only events of these types').choices(eventTypes))
    .addOption(
      new Option('--status <statuses...>', 'only events that lead to one of these states').choices([
        ...statuses,
        'deleted',
      ]),
    )
    .option('--uuid <uuids...>', 'only events of these fractals')

export const selectionOf = ({ type, status, uuid }: Selection) => ({
  ...(type && { types: type }),
  ...(status && { status }),
  ...(uuid && { uuid: uuid.map(parseUuid) }),
})

/** Where events begin: after a cursor, or with what came from a time on. */
export type From = { after?: string; since?: string }

export const secretOption = () =>
  new Option('--secret-file <file>', 'a file with a secret of your own (whsec_…); else one is made')

/** From a file, since everybody on a machine sees what is in a command. */
export async function secretIn({ secretFile }: { secretFile?: string }): Promise<{ secret?: string }> {
  if (secretFile === undefined) return {}
  try {
    return { secret: (await readFile(secretFile, 'utf8')).trim() }
  } catch (error) {
    throw usageError(`cannot read the secret from '${secretFile}': ${reasonOf(error)}`)
  }
}

export function keyText(text: string): string {
  if (/^[\x20-\x7e]{1,255}$/.test(text)) return text
  throw new InvalidArgumentError('expected 1 to 255 printable ASCII characters')
}

export function urlText(text: string): string {
  const wrong = wrongWithUrl(text)
  if (wrong !== null) throw new InvalidArgumentError(wrong)
  return text
}

export const wholeNumber = (least: number) => (text: string) => {
  const number = Number(text)
  if (/^\d+$/.test(text) && number >= least) return number
  throw new InvalidArgumentError(`expected a whole number from ${least}`)
}

export type Changes = Selection & {
  url?: string
  description?: string
  anyType?: boolean
  anyStatus?: boolean
  anyUuid?: boolean
}

export const addChange = (change: Command): Command =>
  addSelection(change)
    .option('--url <url>', 'where events are sent', urlText)
    .option('--description <text>', 'for people')
    .addOption(new Option('--any-type', 'events of all types').conflicts('type'))
    .addOption(new Option('--any-status', 'events that lead to any state').conflicts('status'))
    .addOption(new Option('--any-uuid', 'events of all fractals').conflicts('uuid'))

export const changesOf = ({ url, description, anyType, anyStatus, anyUuid, ...selection }: Changes) => ({
  ...(url !== undefined && { url }),
  ...(description !== undefined && { description }),
  ...selectionOf(selection),
  ...(anyType && { types: [] }),
  ...(anyStatus && { status: [] }),
  ...(anyUuid && { uuid: [] }),
})

export type Which = { uuid?: string; all?: boolean }

/** Which parked deliveries are meant. Throws a usage error where nothing says so. */
export function whichOf(cursors: string[], { uuid, all }: Which) {
  if (cursors.length > 0 && (uuid !== undefined || all)) throw usageError('cannot retry cursors and more: give one')
  if (cursors.length > 0) return { cursors }
  if (uuid !== undefined) return { uuid: parseUuid(uuid) }
  if (all) return { all } as const
  throw usageError('cannot retry without knowing what: give cursors, --uuid or --all')
}
