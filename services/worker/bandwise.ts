import { MessageChannel } from 'node:worker_threads'
import { abortedError, assemblePng, bandsOf, pixelsOf, type RenderedBand } from '../kernel/render.ts'
import { errorOf, type Failure, threadLost } from './failure.ts'
import type { Renderer } from './rendering.ts'
import { coloursOf, freeRoom, hasNext, isStopped, openRing, roomOf, rowsOf, stopRing } from './ring.ts'
import type { BandsJob, DrawnBand } from './thread-main.ts'

/**
 * Renders large pictures band by band, on all threads. A thread gets a picture for a turn, in which it takes band after
 * band by itself: were each band given out from here, threads would wait while we hash and send. The turns go to the
 * picture that came first, and to the next one where it has no band to be begun now. A picture whose reader is slow
 * waits for it.
 */
export function bandwise(threads: number, run: (job: BandsJob) => Promise<Failure | null>): Renderer {
  /** Gives out one more turn, where there is something to do in it. */
  const pictures: (() => Promise<unknown> | null)[] = []
  let running = 0
  /** What pictures before needed: making it anew costs more than a picture is worth. */
  const kept: SharedArrayBuffer[] = []

  /** One turn more than there are threads, so that none waits while we are busy. */
  function giveOut(): void {
    while (running <= threads) {
      const given = pictures.reduce<Promise<unknown> | null>((found, next) => found ?? next(), null)
      if (!given) return
      running++
      void given.finally(() => {
        running--
        giveOut()
      })
    }
  }

  return async ({ uuid, params }, signal) => {
    if (signal.aborted) throw abortedError()
    const bands = bandsOf(params)
    const colours = kept.pop() ?? coloursOf(2 * threads + 2)
    const ring = openRing(colours, bands.length)
    const turns = new Set<Promise<unknown>>()
    const drawn = new Map<number, DrawnBand>()
    let failure: Error | undefined
    let wake = () => {}
    let startedAt: number | undefined
    let pixelChecksum = ''

    function next(): Promise<unknown> | null {
      if (failure || !hasNext(ring)) return null // else, once the pool is closed, turns that fail would be given out for ever
      const { port1, port2 } = new MessageChannel()
      port1.on('message', (band: DrawnBand) => {
        drawn.set(band.band, band)
        wake()
      })
      const turn = run({ uuid, params, ring, port: port2 })
        .then(
          (failed) => {
            if (failed) failure ??= errorOf(failed)
          },
          (error) => {
            failure ??= threadLost(error)
            port1.close()
          },
        )
        .finally(() => {
          turns.delete(turn)
          wake()
        })
      turns.add(turn)
      return turn
    }

    async function* rendered(): AsyncGenerator<RenderedBand, void> {
      for (const [k, band] of bands.entries()) {
        giveOut()
        while (!drawn.has(k) && !failure && !isStopped(ring)) {
          await new Promise<void>((done) => {
            wake = done
          })
        }
        if (isStopped(ring)) throw abortedError()
        const one = drawn.get(k)
        if (!one) throw failure ?? abortedError()
        drawn.delete(k)
        startedAt ??= one.beganAt - performance.timeOrigin
        yield { colours: [roomOf(ring, k, pixelsOf(params, band))], piece: one.piece }
        freeRoom(ring)
      }
    }

    async function* chunks(): AsyncGenerator<Uint8Array, void> {
      const result = yield* assemblePng({ uuid, params }, rendered())
      pixelChecksum = result.pixelChecksum
    }

    let stopped = false
    const stop = () => {
      signal.removeEventListener('abort', stop)
      if (stopped) return
      stopped = true
      stopRing(ring)
      wake()
      pictures.splice(pictures.indexOf(next), 1)
      void Promise.all(turns).then(() => kept.push(colours))
    }
    signal.addEventListener('abort', stop)
    pictures.push(next)
    giveOut()
    return {
      chunks: chunks(),
      pixelChecksum: () => pixelChecksum,
      rows: () => rowsOf(ring),
      startedAt: () => startedAt ?? performance.now(),
      stop,
    }
  }
}
