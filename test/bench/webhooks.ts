import process from 'node:process'
import { v4 } from 'uuid'
import { identify } from '../../services/platform/identity.ts'
import { pause } from '../../services/platform/shutdown.ts'
import { createWebhook, webhooksOf } from '../../services/platform/webhooks.ts'
import { requested } from '../platform/with-log.ts'
import { withReceiver } from '../support/hook-receiver.ts'
import { withReadModel } from '../support/read-model.ts'
import { withSystem } from '../support/system.ts'
import { until } from '../support/until.ts'
import { percentile, type Row, type Suite } from './row.ts'

const HOOKS = Number(process.env.BENCH_WEBHOOKS ?? 1_000)
const HANG = Math.ceil(HOOKS / 50)
const EVENTS = Number(process.env.BENCH_WEBHOOK_EVENTS ?? 20)
const EVERY_MS = 2_000

/**
 * From the append of an event until it comes to an endpoint, with many endpoints that all get every event, of which some
 * never answer, beside the same with all of them well.
 */
export const webhooks: Suite = {
  name: 'webhooks',
  async run() {
    const rounds = [await latencies(0), await latencies(HANG), await latencies(0), await latencies(HANG)]
    const p99 = rounds.map((all) => percentile(all, 0.99))
    const half = rounds.map((all) => percentile(all, 0.5))
    const mean = (a = 0, b = 0) => (a + b) / 2
    const label = `${HOOKS} webhooks, of which ${HANG} hang, ${EVENTS} events`
    const reference = (value: number) => ({ name: 'none hangs', value })
    const row = (name: string, of: number[]): Row => ({
      ...{ name: `event to webhook ${name} (${label})`, value: mean(of[1], of[3]), unit: 'ms' },
      reference: reference(mean(of[0], of[2])),
    })
    return [row('p99', p99), row('median', half)]
  },
}

/** In ms, of those that do not hang. */
async function latencies(hanging: number): Promise<number[]> {
  const found: number[] = []
  await withReceiver((receiver) =>
    withSystem(
      async (system) => {
        const appendedAt = new Map<string, number>()
        receiver.reply = ({ path, event, at }) => {
          if (path.startsWith('/hangs')) return { status: 204, does: 'hang' }
          found.push(at - (appendedAt.get(event.id) ?? at))
          return { status: 204 }
        }
        await withReadModel(system, async ({ broker, log }) => {
          const hooks = webhooksOf(broker)
          const paths = Array.from({ length: HOOKS }, (_, i) => (i < hanging ? `/hangs/${i}` : `/works/${i}`)).values()
          const maker = async () => {
            for (const path of paths) {
              const asked = { url: receiver.url(path), description: '', types: [], status: [], uuid: [], after: '0' }
              await createWebhook(hooks, v4(), asked, (event) => hooks.append(identify(event, '/bench')))
            }
          }
          await Promise.all(Array.from({ length: 16 }, maker))
          const well = HOOKS - hanging
          const happen = async () => {
            const event = requested()
            appendedAt.set(event.id, Date.now())
            await log.append(event)
          }
          await happen() // once it has come to all, all are under way
          await until(() => found.length >= well, { what: () => `${found.length} are under way`, withinMs: 120_000 })
          found.length = 0
          for (let i = 1; i <= EVENTS; i++) {
            await happen()
            await pause(EVERY_MS)
          }
          await until(() => found.length >= well * EVENTS, { what: () => `${found.length} came`, withinMs: 120_000 })
        })
      },
      { env: { WORKERS: '0', LOG_LEVEL: 'error', WEBHOOK_TARGETS: '127.0.0.1' }, optimized: true },
    ),
  )
  return found
}
