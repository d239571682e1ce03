import { execFileSync } from 'node:child_process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createClient, type OperationObject } from '../../services/cli/client.ts'
import { freePort } from '../../services/platform/ports.ts'
import { fail } from '../api/with-api.ts'
import { withServer } from '../api/with-server.ts'
import { withBulk } from '../operator/with-operator.ts'
import { until } from '../support/until.ts'
import { runHere, startProgram, withoutProgress } from './run-program.ts'
import { json, problem, withScriptedApi } from './scripted-api.ts'

const id = '7c9e6679-7425-40de-944b-e07fc1f90ae7'
const failed = { name: 'status', op: '==', val: 'failed' }
const wide = { name: 'width', op: 'ge', val: 512 }

const operation = (changes: Partial<OperationObject> = {}): OperationObject => ({
  ...{ id, action: 'cancel', filters: [failed], rate: null, status: 'requested', matched: null, reason: null },
  ...{ counts: { changed: 0, unchanged: 0, unreadable: 0 }, event_id: '9c1c3d0e-5b0a-4d55-a1a7-3f6a6f7b2c10' },
  ...{ created_at: '2026-01-02T03:04:05.000Z', updated_at: '2026-01-02T03:04:05.000Z', finished_at: null },
  ...changes,
})
const finished = (status: OperationObject['status'], more: Partial<OperationObject> = {}) =>
  operation({ status, matched: 4, finished_at: '2026-01-02T03:04:06.000Z', ...more })

test('what is meant is sent as filters, with an id that the program chose', () =>
  withScriptedApi(
    ({ body }) => json({ ...operation(), ...(body as object) }, 202),
    async (url, seen) => {
      const q = JSON.stringify({ filters: [wide] })
      const first = await runHere(['bulk', 'retry', '--status', 'failed', '--q', q, '--rate', '2.5'], url)
      assert.equal([first.code, first.stderr], [0, ''])
      const { id: chosen, ...body } = (seen[0]?.body ?? {}) as { id: string }
      assert.equal(body, { action: 'retry', filters: [wide, failed], rate: 2.5 })
      assert.is(first.stdout, `${chosen}\n`)
      const all = await runHere(['bulk', 'delete', '--all', '--id', id.toUpperCase(), '--output', 'json'], url)
      assert.equal(seen[1]?.body, { id, action: 'delete', filters: [], rate: null })
      assert.is(JSON.parse(all.stdout).id, id)
    },
  ))

test('without a word on which fractals are meant nothing is sent', async () => {
  const wrong: [string[], RegExp][] = [
    [['cancel'], /cannot cancel without knowing what: give --status or --q, or --all/],
    [['delete', '--q', '{"filters": []}'], /cannot delete without knowing what/],
    [['delete', '--all', '--status', 'failed'], /'--all' cannot be used with option '--status/],
    [['retry', '--q', 'x'], /cannot read --q: expected JSON such as \{"filters"/],
    [['retry', '--q', '[]'], /cannot read --q: expected JSON such as \{"filters"/],
    [['retry', '--q', '{"filters": [1], "limit": 5}'], /cannot use --q with limit/],
    [['retry', '--all', '--rate', '0'], /cannot use --rate 0: expected a number above 0/],
    [['retry', '--all', '--id', 'x'], /cannot read 'x' as a uuid/],
    [['retry', '--all', '--wait', '--dry-run'], /cannot be used with/],
    [['show', 'x'], /cannot read 'x' as a uuid/],
    [['stop'], /missing required argument 'id'/],
  ]
  for (const [args, expected] of wrong) {
    const { code, stdout, stderr } = await runHere(['bulk', ...args], 'http://127.0.0.1:9')
    assert.equal([code, stdout], [2, ''], args.join(' '))
    assert.match(stderr, expected)
    assert.match(stderr, `; see faafo bulk ${args[0]} --help\n`)
  }
})

test('waiting ends with the table of the operation, and fails where that did not complete', () => {
  const answers = [
    operation(),
    operation({ status: 'running', matched: 4, counts: { changed: 1, unchanged: 1, unreadable: 0 } }),
    finished('completed', { counts: { changed: 3, unchanged: 1, unreadable: 0 } }),
  ]
  let next = 0
  return withScriptedApi(
    ({ method }) => (method === 'POST' ? json(operation(), 202) : json(answers[Math.min(next++, 2)])),
    async (url) => {
      const { code, stdout, stderr } = await runHere(['bulk', 'cancel', '--status', 'failed', '--wait'], url)
      assert.is(code, 0)
      assert.is(withoutProgress(stderr), '')
      assert.match(stderr, /cancelling: 100 %, 4 of 4, 3 changed\n$/)
      assert.match(stdout, /\| status +\| completed +\|/)
      assert.match(stdout, /\| changed +\| 3 +\|/)
      answers[2] = finished('failed', { reason: 'cannot go on: no' })
      const other = await runHere(['bulk', 'show', id, '--wait', '--output', 'json'], url)
      assert.is(other.code, 1)
      assert.is(JSON.parse(other.stdout).status, 'failed')
      assert.match(other.stderr, `faafo: operation '${id}' failed: cannot go on: no\n`)
    },
  )
})

test('a request that was not confirmed is told with the command that repeats it', () =>
  withScriptedApi(
    () => problem('log-unavailable', 503, 'cannot be sure that it was recorded; repeat the request with the same uuid'),
    async (url) => {
      const { code, stderr } = await runHere(['bulk', 'retry', '--status', 'failed', '--id', id, '--rate', '5'], url)
      assert.is(code, 1)
      assert.match(stderr, `repeat it with faafo bulk retry --id ${id} --status failed --rate 5\n`)
    },
  ))

test('a filter comes back in the command that repeats it so that a shell reads it', () =>
  withScriptedApi(
    () => problem('log-unavailable', 503, 'cannot be sure that it was recorded; repeat the request with the same uuid'),
    async (url) => {
      const q = JSON.stringify({ filters: [{ name: 'generated_by', op: 'eq', val: "it's" }] })
      const { stderr } = await runHere(['bulk', 'cancel', '--q', q, '--id', id], url)
      const [, told = ''] = /repeat it with faafo bulk cancel --id \S+ --q (.*)\n/.exec(stderr) ?? []
      assert.is(execFileSync('sh', ['-c', `printf %s ${told}`], { encoding: 'utf8' }), q)
    },
  ))

test('who is interrupted, or loses the api, while an operation is requested is told its id', async () => {
  let answer = () => {}
  await withScriptedApi(
    () =>
      new Promise((done) => {
        answer = () => done(json(operation(), 202))
      }),
    async (url, seen) => {
      const running = startProgram(['bulk', 'delete', '--all'], { endpoint: url })
      await until(() => seen.length > 0, { what: 'it has asked' })
      const { id: chosen } = (seen[0]?.body ?? {}) as { id: string }
      running.child.kill('SIGINT')
      const { code, stderr } = await running.ended
      answer()
      assert.is(code, 130)
      assert.match(
        stderr,
        `interrupted: operation '${chosen}' may have been requested or not: faafo bulk show ${chosen}`,
      )
    },
  )
  const away = await runHere(['bulk', 'delete', '--all', '--id', id], `http://127.0.0.1:${await freePort()}`)
  assert.is(away.code, 3)
  assert.match(away.stderr, `; operation '${id}' may have been requested or not: faafo bulk show ${id} tells`)
})

test('an operation that there is not, and one that cannot be stopped, are told as the api tells them', () =>
  withScriptedApi(
    ({ method }) =>
      method === 'GET'
        ? problem('not-found', 404, `cannot find operation '${id}': there is none of that id`)
        : problem('illegal-transition', 409, `cannot stop operation '${id}': it is completed already`),
    async (url) => {
      const show = await runHere(['bulk', 'show', id], url)
      assert.equal([show.code, show.stderr], [1, `faafo: cannot find operation '${id}': there is none of that id\n`])
      const stop = await runHere(['bulk', 'stop', id], url)
      assert.equal([stop.code, stop.stderr], [1, `faafo: cannot stop operation '${id}': it is completed already\n`])
    },
  ))

test('from the command line to the last fractal: counted, retried, looked at, stopped', () =>
  withBulk((bulk) =>
    withServer(bulk.app, async (port) => {
      const url = `http://127.0.0.1:${port}`
      const parked = await bulk.createMany(12)
      for (const uuid of parked) await fail(bulk, uuid)
      const waiting = await bulk.createMany(3)
      await bulk.projected()
      const dry = await runHere(['bulk', 'retry', '--status', 'failed', '--dry-run'], url)
      assert.equal(dry, { code: 0, stdout: '12 match; nothing was changed\n', stderr: '' })
      const asJson = await runHere(['bulk', 'delete', '--all', '--dry-run', '--output', 'json'], url)
      assert.equal(JSON.parse(asJson.stdout), { action: 'delete', filters: [], matched: 15 })

      bulk.start()
      const retried = await runHere(
        ['bulk', 'retry', '--status', 'failed', '--rate', '50', '--wait', '--output', 'json'],
        url,
      )
      assert.is(retried.code, 0, retried.stderr)
      const { id, counts } = JSON.parse(retried.stdout)
      assert.equal(counts, { changed: 12, unchanged: 0, unreadable: 0 })
      assert.equal(await bulk.appendedBy(id, [...parked, ...waiting]), { TaskRequested: 12 })

      const slow = await runHere(['bulk', 'cancel', '--all', '--rate', '0.5'], url)
      const stopped = await runHere(['bulk', 'stop', slow.stdout.trim()], url)
      assert.match(stopped.stdout, /\| status +\| stopping +\|/)
      const ended = await runHere(['bulk', 'show', slow.stdout.trim(), '--wait'], url)
      assert.is(ended.code, 1)
      assert.match(ended.stderr, /operation '.*' cancelled\n/)
    }),
  ))

test('who stops waiting is told that the operation goes on', () =>
  withScriptedApi(
    () => json(operation({ status: 'running', matched: 4 }), 200),
    async (url, seen) => {
      const running = startProgram(['bulk', 'show', id, '--wait'], { endpoint: url })
      await until(() => seen.length > 2, { what: 'it waits' })
      running.child.kill('SIGINT')
      const { code, stderr } = await running.ended
      assert.is(code, 130)
      assert.match(stderr, `stopped waiting; the operation goes on: faafo bulk stop ${id} ends it\n`)
    },
  ))

test('the client waits for an api that is away', () => {
  let asked = 0
  return withScriptedApi(
    () => (asked++ < 3 ? problem('log-unavailable', 503, 'cannot read the log') : json(finished('completed'))),
    async (url) => {
      const { operations } = createClient({ endpoint: url })
      assert.is((await operations.waitFor(id)).status, 'completed')
      await operations.begin({ action: 'cancel', filters: [] }, { idempotencyKey: 'nightly' })
    },
  )
})

test.run()
