import type { Broker } from './broker.ts'
import { openSlots, type Slots } from './slots.ts'

/** The log as messages, whether or not this program can read them. `id` is '' where one has none. */
export type LogMessages = Slots<{ id: string; seq: number }>

export const openMessages = (broker: Broker): LogMessages =>
  openSlots(broker, broker.names.stream, (message, { seq }) => ({ id: message.header('ce-id'), seq }))
