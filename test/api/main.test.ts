import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import process from 'node:process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { withBroker } from '../support/broker.ts'
import { withPostgres } from '../support/database.ts'
import { ourProgram } from '../support/project.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'
import { json, params } from './with-api.ts'

type Process = { output(): string; ended(): boolean; end(): Promise<number | null>; exit: Promise<number | null> }

/** Starts `services/api/main.ts` with nothing in its environment but what is given. */
async function withMain(env: Record<string, string>, use: (main: Process) => Promise<void>): Promise<void> {
  const child = spawn(...ourProgram('services/api/main'), {
    env: { PATH: process.env.PATH, LOG_FORMAT: 'json', PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text
    })
  }
  const exit = once(child, 'close').then(([code]) => code as number | null)
  const ended = () => child.exitCode !== null || child.signalCode !== null
  const end = () => {
    child.kill('SIGTERM')
    return exit
  }
  try {
    await use({ output: () => output, ended, end, exit })
  } finally {
    if (!ended()) child.kill('SIGKILL')
    await exit
  }
}

const away = { NATS_URL: 'nats://127.0.0.1:1', DATABASE_URL: 'postgres://postgres@127.0.0.1:1/none' }

async function urlOf(main: Process): Promise<string> {
  const line = () => /"url":"(http:[^"]+)"/.exec(main.output())?.[1]
  await until(() => main.ended() || line() !== undefined, { what: () => `the api listens:\n${main.output()}` })
  return line() ?? ''
}

test('an api migrates, serves, and finishes what it has in hand when it is told to stop', () =>
  withBroker((broker) =>
    withPostgres((database) =>
      withTempDir((dir) =>
        withMain({ NATS_URL: broker.url, DATABASE_URL: database.url, DATA_DIR: dir }, async (main) => {
          const url = await urlOf(main)
          await until(async () => (await fetch(`${url}/readyz`)).ok, { what: 'it is ready' })
          await until(async () => (await fetch(`${url}/v1/fractal`)).ok, { what: 'the database is migrated' })
          const answer = fetch(`${url}/v1/batch`, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify(Array.from({ length: 1000 }, () => params)),
          })
          await until(async () => (await json(fetch(`${url}/v1/status`))).projection.lag_events > 0, {
            what: 'it works',
          })
          const code = main.end()
          const { items } = await json(answer)
          assert.ok(items.every((item: { status: number }) => item.status === 201))
          assert.is(await code, 0)
        }),
      ),
    ),
  ))

test('it starts and answers while broker and database are away', () =>
  withMain(away, async (main) => {
    const url = await urlOf(main)
    assert.is((await fetch(`${url}/healthz`)).status, 200)
    assert.is((await fetch(`${url}/readyz`)).status, 503)
    assert.is((await fetch(`${url}/v1/fractal`)).status, 503)
    assert.is(await main.end(), 0)
  }))

test('what keeps it from starting is one line that says what to set', async () => {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  const taken = String(typeof address === 'object' ? address?.port : 0)
  const refused: [Record<string, string>, number, RegExp][] = [
    [{ ...away, PORT: taken }, 1, new RegExp(`127.0.0.1:${taken}.*taken.*PORT=`)],
    [{ ...away, HOST: '0.0.0.0' }, 2, /HOST=0\.0\.0\.0.*AUTH=off/],
    [{ ...away, NATS_URL: '' }, 2, /NATS_URL is not set/],
    [{ ...away, PORT: 'x', COMPUTE_BUDGET: 'y' }, 2, /PORT=x.*COMPUTE_BUDGET=y/],
  ]
  try {
    for (const [env, code, text] of refused) {
      await withMain(env, async (main) => {
        assert.is(await main.exit, code)
        const lines = main.output().trim().split('\n')
        assert.is(lines.length, 1, main.output())
        assert.match(lines[0] ?? '', text)
      })
    }
    await withMain({ ...away, HOST: '0.0.0.0', AUTH: 'off' }, async (main) => {
      assert.match(await urlOf(main), /^http:\/\/0\.0\.0\.0:\d+$/)
    })
  } finally {
    server.close()
  }
})

test.run()
