import { cursorOf } from '../../events/cursor.ts'
import type { Fractal } from '../../events/task.ts'
import { imageUrl } from '../platform/fractal-row.ts'
import type { Live } from './live.ts'
import type { FractalObject } from './schemas.ts'

/** A fractal as clients see it, whether it comes from the log or from a row. */
export function objectOf(fractal: Fractal, progress: number | null = null): FractalObject {
  const { uuid, image, params } = fractal
  return {
    uuid,
    status: fractal.status,
    checksum: image?.checksum ?? null,
    url: image ? imageUrl(uuid) : null,
    duration: image?.duration ?? null,
    size: image?.size ?? null,
    width: params.width,
    height: params.height,
    iterations: params.iterations,
    xa: params.xa,
    xb: params.xb,
    ya: params.ya,
    yb: params.yb,
    cx: params.cx,
    cy: params.cy,
    generated_by: image?.generatedBy ?? null,
    pixel_checksum: image?.pixelChecksum ?? null,
    kernel_version: image?.kernelVersion ?? null,
    generation: fractal.generation,
    attempts: fractal.attempts,
    error: fractal.error,
    created_at: timeOf(fractal.requestedAt),
    started_at: fractal.startedAt === null ? null : timeOf(fractal.startedAt),
    finished_at: fractal.finishedAt === null ? null : timeOf(fractal.finishedAt),
    cursor: cursorOf(fractal.first),
    progress,
  }
}

const timeOf = (ms: number) => new Date(ms).toISOString()

/** The object with how far its render has come. */
export const shown = ({ live }: { live: Live }, fractal: Fractal): FractalObject =>
  objectOf(fractal, live.progressOf(fractal))
