import type { Broker } from './broker.ts'
import { openSlots, type Slots } from './slots.ts'

/**
 * The log as messages, whether or not this program can read them. `id` is '' where one has none, `importId` where no
 * import brought it here.
 */
export type LogMessages = Slots<{ id: string; seq: number; importId: string }>

export const openMessages = (broker: Broker): LogMessages =>
  openSlots(broker, broker.names.stream, ({ header }, { seq }) => {
    return { id: header('ce-id'), seq, importId: header('ce-importid') }
  })
