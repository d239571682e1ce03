import { createHash } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decodePng } from '../../services/kernel/decode.ts'
import { freePort } from '../../services/platform/ports.ts'
import { isAlive } from '../../services/up/process-identity.ts'
import { copyEmptyPglite } from '../support/database.ts'
import { faafo, startFaafo } from '../support/run-cli.ts'
import { withSystem } from '../support/system.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'

type Listed = { uuid: string; width: number; height: number; size: number; checksum: string; status: string }

const objects = async (apiUrl: string): Promise<Listed[]> =>
  ((await (await fetch(`${apiUrl}/v1/fractal?results_per_page=-1`)).json()) as { objects: Listed[] }).objects

test('the tutorial works: create, list, show, get, delete; and all of it is there after a restart', () =>
  withTempDir(async (dataDir) => {
    let before: Listed[] = []
    await withSystem(
      async (system) => {
        const env = { FAAFO_ENDPOINT_URL: system.apiUrl }
        assert.match(system.output(), /fsync|on disk|writes to disk/)
        assert.match(system.output(), dataDir)

        const sizes = ['--max-width', '300', '--max-height', '300', '--min-width', '100', '--min-height', '100']
        const created = await faafo(['create', '--tasks', '3', '--wait', ...sizes], { env })
        assert.is(created.code, 0, created.stderr)
        assert.match(created.stdout + created.stderr, 'generating 3 task(s)')

        before = await objects(system.apiUrl)
        assert.is(before.length, 3)
        const listed = await faafo(['list'], { env })
        for (const { uuid, width, height, size } of before) {
          assert.match(listed.stdout, uuid)
          assert.match(listed.stdout, `${width} x ${height} pixels`)
          assert.match(listed.stdout, `${size} bytes`)
        }
        const [one, two] = before
        if (!one || !two) throw new Error('two were asked for')
        const shown = await faafo(['show', one.uuid], { env })
        assert.match(shown.stdout, one.checksum)
        assert.match(shown.stdout, /\d\.\d{6} seconds/)

        await withTempDir(async (folder) => {
          const got = await faafo(['get', one.uuid], { env, cwd: folder })
          assert.is(got.code, 0, got.stderr)
          const png = await readFile(join(folder, `${one.uuid}.png`))
          assert.is(createHash('sha256').update(png).digest('hex'), one.checksum)
          const { width, height } = decodePng(png)
          assert.equal({ width, height }, { width: one.width, height: one.height })
        })

        assert.is((await faafo(['delete', two.uuid], { env })).code, 0)
        const gone = await faafo(['show', two.uuid], { env })
        assert.is(gone.code, 1)
        assert.match(gone.stderr, `fractal '${two.uuid}' not found`)
        before = before.filter((listedOne) => listedOne.uuid !== two.uuid)

        const history = await faafo(['replay', 'show', one.uuid], { env: { ...env, DATA_DIR: dataDir } })
        assert.is(history.code, 0, history.stderr)
        for (const type of ['TaskRequested', 'TaskStarted', 'TaskCompleted']) assert.match(history.stdout, type)

        const verified = await faafo(['replay', 'verify', '--render', 'all'], { env: { ...env, DATA_DIR: dataDir } })
        assert.is(verified.code, 0, verified.stdout + verified.stderr)
        assert.match(verified.stderr, /all is well: \d+ events, \d+ fractals, \d+ images, \d+ pictures drawn again/)

        const { code, ms } = await system.stop()
        assert.is(code, 0)
        assert.ok(ms < 10_000, `stopped within 10 s, took ${ms}`)
      },
      { dataDir },
    )

    await withSystem(async (system) => assert.equal(await objects(system.apiUrl), before), { dataDir })

    await rm(join(dataDir, 'database'), { recursive: true })
    await withSystem(
      async (system) => {
        await until(async () => (await objects(system.apiUrl)).length === before.length, { what: 'the table is back' })
        assert.equal(await objects(system.apiUrl), before)
      },
      { dataDir },
    )
  }))

for (const [how, signals] of [
  ['a closed terminal', ['SIGHUP']],
  ['an impatient second Ctrl-C', ['SIGINT', 'SIGINT']],
] as const) {
  test(`after ${how} nobody is left behind`, () =>
    withSystem(async (system) => {
      const pids = await system.pids('')
      assert.is(pids.length, 7)
      for (const signal of signals) process.kill(system.pid, signal)
      await until(() => !pids.some(isAlive), { what: () => `all of ${pids} are gone`, withinMs: 15_000 })
    }))
}

test('a broker that is not there is named while the start waits', () =>
  withTempDir(async (dataDir) => {
    const port = await freePort()
    const env = { DATA_DIR: dataDir, PORT: '0', NATS_URL: `nats://127.0.0.1:${port}`, LOG_LEVEL: 'warn' }
    await copyEmptyPglite(join(dataDir, 'database'))
    const child = startFaafo(['up'], { env })
    try {
      const said = /^Not ready yet, waiting on: .*there is no connection to the broker/m
      await until(() => said.test(child.text()), { what: () => `it says so: ${child.text()}` })
      await until(() => child.text().includes(`nats://127.0.0.1:${port}`), { what: 'a service names the address' })
    } finally {
      assert.is(await child.end(), 0)
    }
  }))

test('a second start says who holds the data folder, and on another one, with what to set, that the port is taken', () =>
  withSystem(async (system) => {
    const sameFolder = await faafo(['up'], { env: { DATA_DIR: system.dataDir, PORT: '0' } })
    assert.is(sameFolder.code, 1)
    assert.match(sameFolder.stderr, `pid ${system.pid}`)
    assert.is(sameFolder.stderr.trim().split('\n').length, 1)

    await withTempDir(async (dataDir) => {
      const port = new URL(system.apiUrl).port
      const samePort = await faafo(['up'], { env: { DATA_DIR: dataDir, PORT: port } })
      assert.is(samePort.code, 1)
      assert.match(samePort.stderr, port)
      assert.match(samePort.stderr, 'PORT=')
    })
  }))

test('a host that others can reach is refused unless AUTH=off', () =>
  withTempDir(async (dataDir) => {
    const refused = await faafo(['up'], { env: { DATA_DIR: dataDir, HOST: '0.0.0.0', PORT: '0' } })
    assert.is(refused.code, 2)
    assert.match(refused.stderr, 'AUTH=off')
  }))

test('a start with several bad settings names all of them', () =>
  withTempDir(async (dataDir) => {
    const env = { DATA_DIR: dataDir, PORT: 'eighty', WORKERS: '-1', DATABASE_URL: 'mysql://x', STORAGE_URL: 'ftp://x' }
    const refused = await faafo(['up'], { env })
    assert.is(refused.code, 2)
    for (const name of ['PORT', 'WORKERS', 'DATABASE_URL', 'STORAGE_URL']) assert.match(refused.stderr, name)
    assert.is(refused.stderr.trim().split('\n').length, 1)
  }))

test('a data folder that cannot be written to is refused in a line', () =>
  withTempDir(async (folder) => {
    const file = join(folder, 'file')
    await writeFile(file, '')
    const refused = await faafo(['up'], { env: { DATA_DIR: join(file, 'data'), PORT: '0' } })
    assert.is(refused.code, 1)
    assert.match(refused.stderr, file)
    assert.is(refused.stderr.trim().split('\n').length, 1)
  }))

test.run()
