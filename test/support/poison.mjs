/* Preloaded (NODE_OPTIONS=--import …) into workers under test: a render of this width kills its process, as a crash would. */
import { subscribe } from 'node:diagnostics_channel'
import process from 'node:process'

subscribe('faafo:render', ({ params }) => {
  if (params.width === 666) process.kill(process.pid, 'SIGKILL')
})
