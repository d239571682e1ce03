import { readCheckpoint } from '../platform/checkpoint.ts'
import type { Db } from '../platform/database.ts'
import type { ReadModel } from '../platform/read-model.ts'
import { isWorkedOn } from '../projector/copies.ts'

/**
 * Tells at each look whether somebody has a read model in hand: it moved or went since the look before, or a statement
 * works on its tables. One that was left behind stands still.
 */
export function watchCopy(db: Db, model: ReadModel): () => Promise<boolean> {
  let before: string | undefined
  return async () => {
    const row = await readCheckpoint(db, model)
    const stand = row ? `${row.epoch} ${row.seq}` : ''
    const hasMoved = before !== undefined && stand !== before
    before = stand
    return hasMoved || (row !== null && (await isWorkedOn(db, model)))
  }
}
