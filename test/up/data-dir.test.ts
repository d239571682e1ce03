import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import { holdDataDir, readRuntime, removeRuntime, writeRuntime } from '../../services/up/data-dir.ts'
import { startOf } from '../../services/up/process-identity.ts'
import { type Child, startOurs } from '../support/child.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'

/** Starts a process that waits for a line on its standard input and then tries to hold `dir`. */
const startHolder = (dir: string): Promise<Child> => startOurs('test/support/data-dir-holder', [dir])
const says = (child: Child, word: string) =>
  until(() => child.output().includes(word), { what: () => `${word}, said by:\n${child.output()}` })

const held = (dir: string, foreignWaitMs?: number) =>
  holdDataDir(dir, { what: 'faafo up', ...(foreignWaitMs !== undefined && { foreignWaitMs }) })
const refusal = (dir: string, foreignWaitMs?: number): Promise<unknown> =>
  held(dir, foreignWaitMs).then(
    () => null,
    (error) => error,
  )
const foreignLock = {
  pid: 1,
  host: 'another.example',
  processStart: null,
  since: 'then',
  what: 'faafo up',
  released: false,
}

test('a data folder is made, held, released and held again', () =>
  withTempDir(async (parent) => {
    const dir = join(parent, 'new', 'data')
    for (let i = 0; i < 3; i++) await (await held(dir)).release()
    const { release } = await held(dir)
    assert.is((await readdir(dir)).length, 1)
    await release()
  }))

test('a held data folder is refused, with who holds it and what to do', () =>
  withTempDir(async (dir) => {
    const { release } = await held(dir)
    const error = await refusal(dir)
    assert.ok(isFaafoError(error, 'data-dir-held'))
    assert.match(error.message, new RegExp(`faafo up \\(pid ${process.pid}, started .*\\) holds it; .*DATA_DIR`))
    await release()
    assert.is(await refusal(dir), null)
  }))

test('a data folder whose holder was killed is free', () =>
  withTempDir(async (dir) => {
    const child = await startHolder(dir)
    child.write('go\n')
    await says(child, 'HELD')
    assert.ok(isFaafoError(await refusal(dir), 'data-dir-held'))
    await child.end('SIGKILL')
    assert.is(await refusal(dir), null)
  }))

test('of several that start at once on a data folder left behind, exactly one gets it', () =>
  withTempDir(async (dir) => {
    for (let round = 0; round < 3; round++) {
      const racers = await Promise.all(Array.from({ length: 4 }, () => startHolder(dir)))
      for (const racer of racers) await says(racer, 'WAITING')
      for (const racer of racers) racer.write('go\n')
      for (const racer of racers) await says(racer, 'DONE')
      assert.is(racers.filter((racer) => racer.output().includes('HELD')).length, 1)
      for (const racer of racers) await racer.end('SIGKILL')
    }
  }))

test('of many attempts at once within one process, exactly one succeeds', () =>
  withTempDir(async (dir) => {
    for (let round = 0; round < 20; round++) {
      const attempts = await Promise.allSettled(Array.from({ length: 8 }, () => held(dir)))
      const winners = attempts.flatMap((attempt) => (attempt.status === 'fulfilled' ? attempt.value : []))
      assert.is(winners.length, 1)
      await winners[0]?.release()
    }
  }))

test('a lock whose pid was given to another process since is stale', () =>
  withTempDir(async (dir) => {
    if (startOf(process.pid) === null) return
    const lock = { ...foreignLock, host: hostname(), pid: process.ppid, processStart: 'another boot:1' }
    await writeFile(join(dir, 'lock.5'), JSON.stringify(lock))
    assert.is(await refusal(dir), null)
  }))

test('a lock cut short is stale', () =>
  withTempDir(async (dir) => {
    await writeFile(join(dir, 'lock.1'), '{"pid": 1')
    assert.is(await refusal(dir), null)
  }))

test('a lock of another machine holds while it is touched', () =>
  withTempDir(async (dir) => {
    const file = join(dir, 'lock.1')
    await writeFile(file, JSON.stringify(foreignLock))
    const touching = setInterval(() => void writeFile(file, JSON.stringify(foreignLock)), 20)
    const error = await refusal(dir, 200)
    clearInterval(touching)
    assert.ok(isFaafoError(error, 'data-dir-held'))
    assert.match(error.message, /on another\.example/)
    assert.is(await refusal(dir, 50), null)
  }))

test('a data folder that cannot be made is a refused start', () =>
  withTempDir(async (dir) => {
    const file = join(dir, 'file')
    await writeFile(file, '')
    const error = await refusal(join(file, 'data'))
    assert.ok(isFaafoError(error, 'start-failed'))
    assert.match(error.message, /cannot use the data folder .*DATA_DIR/)
  }))

test('what runs on a data folder can be read by others until it is taken away', () =>
  withTempDir(async (dir) => {
    const urls = {
      natsUrl: 'nats://127.0.0.1:1',
      databaseUrl: 'postgres://127.0.0.1:2/postgres',
      apiUrl: 'http://127.0.0.1:3',
      processes: [{ name: 'api', pid: 4 }],
    }
    assert.is(await readRuntime(dir), null)
    await writeRuntime(dir, urls)
    assert.equal(await readRuntime(dir), { pid: process.pid, ...urls })
    await removeRuntime(dir)
    assert.is(await readRuntime(dir), null)
  }))

test('a record whose process is gone says nothing', () =>
  withTempDir(async (dir) => {
    await mkdir(dir, { recursive: true })
    const gone = { pid: 2 ** 22 + 1, processStart: null, natsUrl: '', databaseUrl: '', apiUrl: '' }
    await writeFile(join(dir, 'runtime.json'), JSON.stringify(gone))
    assert.is(await readRuntime(dir), null)
  }))

test.run()
