import { statfs } from 'node:fs/promises'
import { messageOf } from '../../../events/errors.ts'
import { type CheckName, type Examined, ok, skipped, warning, wrong } from './diagnosis.ts'
import type { Patient } from './patient.ts'

/** Bytes. */
export type Room = { free: number; total: number }

const GB = 1e9
/** So much free room is enough, however small a share it is. */
const PLENTY = 20 * GB
const WARNING = 0.1
const WRONG = 0.02

/** How full a place is: by its share, unless what is left is plenty. */
export function fillOf({ free, total }: Room): { severity: 'ok' | 'warning' | 'wrong'; share: number; text: string } {
  const left = Math.max(0, free) / total
  const severity = free >= PLENTY || left >= WARNING ? 'ok' : left >= WRONG ? 'warning' : 'wrong'
  const share = 1 - left
  return { severity, share, text: `${Math.floor(share * 100)} % of the ${bytesText(total)}` }
}

const bytesText = (bytes: number) => (bytes >= GB ? `${(bytes / GB).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`)

export const checkDataDisk = ({ folders }: Patient) => disk('data-disk', folders.data)
export const checkImageDisk = ({ folders }: Patient) => disk('image-disk', folders.images)

async function disk(check: CheckName, folder: string | null): Promise<Examined> {
  if (folder === null) return skipped(check, 'there is no such folder on this machine')
  try {
    return roomOf(check, folder, await freeRoom(folder))
  } catch (error) {
    return skipped(check, messageOf(error))
  }
}

async function freeRoom(folder: string): Promise<Room> {
  const { bavail, blocks, bsize } = await statfs(folder)
  return { free: bavail * bsize, total: blocks * bsize }
}

export function roomOf(check: CheckName, folder: string, room: Room): Examined {
  const { severity, text } = fillOf(room)
  const found = `the disk of ${folder} has used ${text}`
  if (severity === 'ok') return ok(check, found)
  return (severity === 'wrong' ? wrong : warning)(
    check,
    found,
    'make room on that disk, or move the folder to a larger one',
  )
}
