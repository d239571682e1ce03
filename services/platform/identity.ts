import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { v4 } from 'uuid'
import type { Envelope } from '../../events/events.ts'

/** The package's version, as package.json has it. */
export const VERSION: string = (() => {
  let folder = dirname(fileURLToPath(import.meta.url))
  for (;;) {
    try {
      return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version
    } catch {
      if (folder === dirname(folder)) return '0.0.0'
      folder = dirname(folder)
    }
  }
})()

/** Gives a decision its identity and the time. The id is random from its first digit (v4): cursors carry the first eight. */
export const identify = <E extends object>(
  event: E,
  source: string,
  links: Pick<Envelope, 'correlationid' | 'causationid' | 'traceparent'> = {},
): E & Envelope => ({ ...event, id: v4(), source, time: new Date().toISOString(), ...links })
