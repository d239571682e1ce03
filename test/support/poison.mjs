/*
 * Preloaded (NODE_OPTIONS=--import …) into workers under test: a render of this width kills its process, as a crash would,
 * until the file POISON_CURE is there.
 */
import { subscribe } from 'node:diagnostics_channel'
import { existsSync } from 'node:fs'
import process from 'node:process'

subscribe('faafo:render', ({ params }) => {
  if (params.width === 666 && !existsSync(process.env.POISON_CURE ?? '')) process.kill(process.pid, 'SIGKILL')
})
