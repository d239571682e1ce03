import { connect, headers } from 'nats'
import { v4 } from 'uuid'
import { encode } from '../../events/codec.ts'
import type { EventData, FractalEvent, NewEvent } from '../../events/events.ts'
import { namesIn } from '../../events/subjects.ts'

const sha256 = 'a'.repeat(64)
export const generatedParams = {
  width: 64,
  height: 64,
  iterations: 128,
  xa: -2,
  xb: 2,
  ya: -1.5,
  yb: 1.5,
  cx: -0.8,
  cy: 0.156,
}

type Image = Pick<EventData['TaskCompleted'], 'checksum' | 'pixelChecksum' | 'size' | 'imageKey'>
/** That nobody made. */
const noImage: Image = { checksum: sha256, pixelChecksum: sha256, size: 2_000, imageKey: sha256 }

/** A fractal requested, started and completed, as the services would have written it. */
function lifeOf(fractal: string, image: Image): NewEvent[] {
  const [generation, entry] = [1, 1]
  return [
    {
      type: 'TaskRequested',
      fractal,
      data: { generation, cause: 'created', params: generatedParams, chosen: ['cx', 'cy'], requestHash: sha256 },
    },
    { type: 'TaskStarted', fractal, data: { generation, entry, worker: 'generated', isolated: false } },
    {
      type: 'TaskCompleted',
      fractal,
      data: {
        ...image,
        generation,
        duration: 0.01,
        generatedBy: 'generated',
        started: entry,
        kernelVersion: 'generated',
      },
    },
  ]
}

/**
 * Appends `count` events (a multiple of 3) to an empty stream through the real codec: whole lives, a few hundred
 * fractals interleaved, whose images are `images` in turn.
 */
export async function generateLog(natsUrl: string, count: number, images: readonly Image[] = []): Promise<void> {
  const nc = await connect({ servers: natsUrl })
  const names = namesIn('')
  const jsm = await nc.jetstreamManager()
  const subjects = names.streamSubjects
  await jsm.streams.add({ name: names.stream, subjects, deny_delete: true, deny_purge: true, allow_direct: true })
  const at = new Date().toISOString()
  for (let written = 0; written < count; ) {
    const fractals = Math.min(300, (count - written) / 3)
    const lives = Array.from({ length: fractals }, (_, i) => lifeOf(v4(), images[i % images.length] ?? noImage))
    const events = [0, 1, 2].flatMap((step) => lives.flatMap((life) => life[step] ?? []))
    await Promise.all(
      events.map(async (event) => {
        const identified = { ...event, id: v4(), source: '/generated', time: at } as FractalEvent
        const message = encode(identified)
        const head = headers()
        for (const [name, value] of Object.entries(message.headers)) head.set(name, value)
        await nc.request(names.slot(event), message.body, { headers: head, timeout: 30_000 })
      }),
    )
    written += events.length
  }
  await nc.close()
}
