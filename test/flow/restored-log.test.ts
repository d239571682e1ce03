import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { freeze } from '../support/freeze.ts'
import { faafo } from '../support/run-cli.ts'
import { type System, withSystem } from '../support/system.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'

const create = (apiUrl: string) =>
  faafo(['create', '--tasks', '2', '--wait', '--width', '64', '--height', '64'], {
    env: { FAAFO_ENDPOINT_URL: apiUrl },
  })

const projection = async ({ apiUrl }: System): Promise<string> => {
  const answer = await fetch(`${apiUrl}/readyz`).catch(() => null)
  return JSON.stringify((await answer?.json().catch(() => null)) ?? null)
}

test('an older copy of the log is noticed at the start', () =>
  withTempDir(async (dataDir) => {
    const copy = join(dataDir, 'copy')
    await withSystem(async ({ apiUrl }) => assert.is((await create(apiUrl)).code, 0), { dataDir })
    await cp(join(dataDir, 'nats'), copy, { recursive: true })
    await withSystem(async ({ apiUrl }) => assert.is((await create(apiUrl)).code, 0), { dataDir })
    await rm(join(dataDir, 'nats'), { recursive: true })
    await cp(copy, join(dataDir, 'nats'), { recursive: true })
    await withSystem(
      async (system) => {
        await until(async () => (await projection(system)).includes('its end was lost'), {
          what: 'the projector says that the log lost its end',
        })
        assert.match(system.output(), 'replay rebuild')
        const rebuilt = await faafo(['replay', 'rebuild'], { env: { DATA_DIR: dataDir } })
        assert.is(rebuilt.code, 0, rebuilt.stderr)
        await until(async () => !(await projection(system)).includes('its end was lost'), { what: 'it goes on' })
        const page = (await (await fetch(`${system.apiUrl}/v1/fractal`)).json()) as { num_results: number }
        assert.is(page.num_results, 2)
      },
      { dataDir },
    )
  }))

test('an older copy of the log is noticed under a running projector', () =>
  withSystem(async (system) => {
    const nats = join(system.dataDir, 'nats')
    assert.is((await create(system.apiUrl)).code, 0)
    await swapWhileDown(system, async () => cp(nats, join(system.dataDir, 'copy'), { recursive: true }))
    await until(async () => (await create(system.apiUrl)).code === 0, { what: 'it takes requests again' })
    await swapWhileDown(system, async () => {
      await rm(nats, { recursive: true })
      await cp(join(system.dataDir, 'copy'), nats, { recursive: true })
    })
    await until(async () => (await projection(system)).includes('its end was lost'), {
      what: 'the projector says that the log lost its end',
    })
  }))

/** Kills the broker and swaps its files before the supervisor has it back, which it may have to kill again for. */
async function swapWhileDown(system: System, swap: () => Promise<void>): Promise<void> {
  await freeze(system.pid) // so that the supervisor does not start it meanwhile
  try {
    const [pid] = await system.pids('broker')
    if (pid === undefined) throw new Error('there is no broker')
    process.kill(pid, 'SIGKILL')
    await swap()
  } finally {
    process.kill(system.pid, 'SIGCONT')
  }
}

test.run()
