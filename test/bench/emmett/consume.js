import process from 'node:process'
import { getPostgreSQLEventStore, postgreSQLEventStoreConsumer } from '@event-driven-io/emmett-postgresql'

/*
 * node consume.js DATABASE_URL EVENTS
 *
 * Appends so many events, and prints how many a second a consumer with the library's defaults hands to a
 * handler that does nothing, from the first to the last.
 */

const [connectionString, count] = [String(process.argv[2]), Number(process.argv[3])]
const STREAM = 1_000
const params = { width: 64, height: 64, iterations: 128, xa: -2, xb: 2, ya: -1.5, yb: 1.5, cx: -0.8, cy: 0.156 }
const requested = { type: 'TaskRequested', data: { generation: 1, cause: 'created', params, chosen: ['cx', 'cy'] } }

const store = getPostgreSQLEventStore(connectionString)
for (let written = 0; written < count; written += STREAM) {
  const events = Array.from({ length: Math.min(STREAM, count - written) }, () => requested)
  await store.appendToStream(`fractal-${written}`, events)
}
await store.close()

let handled = 0
let startedAt = 0
let seconds = 0
const consumer = postgreSQLEventStoreConsumer({ connectionString, stopWhen: { noMessagesLeft: true } })
consumer.reactor({
  processorId: 'bench',
  eachMessage() {
    if (handled === 0) startedAt = performance.now()
    if (++handled === count) seconds = (performance.now() - startedAt) / 1000
  },
})
await consumer.start()
await consumer.close()
if (handled !== count) throw new Error(`${handled} of ${count} events were handled`)
console.log(JSON.stringify({ rate: count / seconds }))
