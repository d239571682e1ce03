import { AckPolicy, connect, DeliverPolicy } from 'nats'

/** Events per second that an ordered reader gets from the stream, their JSON decoded and nothing else. */
export async function rawReadRate(url: string, events: number): Promise<number> {
  const nc = await connect({ servers: url })
  const jsm = await nc.jetstreamManager()
  const startedAt = performance.now()
  const { name } = await jsm.consumers.add('FRACTAL', {
    deliver_policy: DeliverPolicy.All,
    ack_policy: AckPolicy.None,
    mem_storage: true,
  })
  const consumer = await nc.jetstream().consumers.get('FRACTAL', name)
  let count = 0
  for await (const message of await consumer.consume({ max_messages: 4_000 })) {
    message.json()
    if (++count === events) break
  }
  await nc.close()
  return events / ((performance.now() - startedAt) / 1000)
}
