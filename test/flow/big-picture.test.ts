import { readFile } from 'node:fs/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { faafo } from '../support/run-cli.ts'
import { withSystem } from '../support/system.ts'

test('a picture of 9999 × 9999 is rendered with progress shown, in under 400 MB', () =>
  withSystem(async (system) => {
    const env = { FAAFO_ENDPOINT_URL: system.apiUrl }
    const size = ['--height', '9999', '--width', '9999', '--iterations', '128', '--tasks', '1', '--wait']
    const created = await faafo(['create', ...size, '--output', 'json'], { env })
    assert.is(created.code, 0, created.stderr)
    const [{ duration }] = JSON.parse(created.stdout)
    // A line comes after a second; a machine of many cores may be done by then.
    if (duration > 2) assert.match(created.stderr, /: [1-9]\d? %/)
    const [worker] = await system.pids('worker')
    const status = await readFile(`/proc/${worker}/status`, 'utf8').catch(() => null)
    if (status === null) return // no /proc on this system
    const peakMb = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024
    console.log(`peak resident memory of the worker: ${Math.round(peakMb)} MB`)
    assert.ok(peakMb < 400, `${peakMb} MB`)
  }))

test.run()
