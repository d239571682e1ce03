import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { POISON, POISON_WIDTH } from '../support/poison.ts'
import { faafo } from '../support/run-cli.ts'
import { withSystem } from '../support/system.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'

const good = { width: 120, height: 120, iterations: 200, xa: -2, xb: 2, ya: -1.5, yb: 1.5 }
const poison = { ...good, width: POISON_WIDTH }

test('one task that kills its process among a hundred good ones is parked alone, the broker killed meanwhile; retried after the cause is gone, it completes', () =>
  withTempDir((dir) => {
    const cure = join(dir, 'cure')
    return withSystem(
      async (system) => {
        const answer = await fetch(`${system.apiUrl}/v1/batch`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(Array.from({ length: 101 }, (_, i) => (i === 40 ? poison : good))),
        })
        assert.is(answer.status, 200, await answer.clone().text())
        const [pid] = await system.pids('broker')
        process.kill(pid ?? 0, 'SIGKILL')
        const count = async (status: string) => {
          const q = encodeURIComponent(JSON.stringify({ filters: [{ name: 'status', op: 'eq', val: status }] }))
          const page = await fetch(`${system.apiUrl}/v1/fractal?results_per_page=1&q=${q}`).catch(() => null)
          return page?.ok ? ((await page.json()) as { num_results: number }).num_results : -1
        }
        await until(async () => (await count('completed')) === 100 && (await count('failed')) === 1, {
          what: '100 are completed and 1 has failed',
          withinMs: 180_000,
          everyMs: 250,
        })

        const run = (...args: string[]) => faafo(['replay', 'park', ...args], { env: { DATA_DIR: system.dataDir } })
        const listed = await run('list', '--output', 'json')
        const [parked, ...others] = JSON.parse(listed.stdout)
        assert.equal([parked.kind, parked.error.code, others], ['task', 'render-crashed', []], listed.stderr)
        assert.ok(parked.attempts >= 3)
        assert.match(parked.version, /^\d+\.\d+\.\d+/)
        const shown = await run('show', parked.id)
        assert.match(shown.stdout, /TaskFailed .*render-crashed: .* \(version /)

        await writeFile(cure, '')
        const retried = await run('retry', parked.id)
        assert.equal([retried.code, retried.stdout], [0, `retrying ${parked.id}\n`], retried.stderr)
        await until(async () => (await count('completed')) === 101, {
          what: 'it is completed',
          withinMs: 60_000,
          everyMs: 250,
        })
        assert.equal((await run('list')).stderr, 'nothing is parked\n')
      },
      { env: { NODE_OPTIONS: `--import=${POISON}`, LOG_LEVEL: 'error', POISON_CURE: cure } },
    )
  }))

test.run()
