import type { Logger } from '../platform/logger.ts'
import type { Ready } from './schemas.ts'

/** One part of /readyz. */
export type Health = Pick<Ready['database'], 'status' | 'reason'>

/** Takes what a health check found, and logs it where it is not as it was before. */
export type NoteReadiness = (status: Ready['status'], parts: Record<string, Health>) => void

export function createReadinessLog(logger: Logger): NoteReadiness {
  let before = ''
  return (status, parts) => {
    const amiss = Object.entries(parts).filter(([, part]) => part.status !== 'ok')
    // Without the reasons: how far the tables are behind is another one every time.
    const now = amiss.map(([name, part]) => `${name} ${part.status}`).join(', ')
    if (now === before) return
    before = now
    const reasons = Object.fromEntries(amiss.map(([name, { reason }]) => [name, reason]))
    if (amiss.length > 0) logger.warn({ status, ...reasons }, 'readiness changed')
    else logger.info({ status }, 'readiness changed')
  }
}
