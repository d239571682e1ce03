import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  createClient,
  type ParkedDelivery,
  type WebhookAttempt,
  type WebhookObject,
} from '../../services/cli/client.ts'
import { withApi } from '../api/with-api.ts'
import { withServer } from '../api/with-server.ts'
import { withTempDir } from '../support/temp.ts'
import { runHere } from './run-program.ts'
import { json, problem, withScriptedApi } from './scripted-api.ts'

const id = '7c9e6679-7425-40de-944b-e07fc1f90ae7'
const fractal = '9c1c3d0e-5b0a-4d55-a1a7-3f6a6f7b2c10'
const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const path = `/v1/webhooks/${id}`

const webhook = (changes: Partial<WebhookObject> = {}): WebhookObject => ({
  ...{ id, url: 'https://example.org/hooks', description: '', types: [], status: [], uuid: [], state: 'active' },
  ...{ reason: null, created: '2026-01-02T03:04:05.000Z', updated: '2026-01-02T03:04:05.000Z' },
  ...{ cursor: '42-0198c3a1', parked: 0, secrets: 1 },
  ...changes,
})

const attempt = (changes: Partial<WebhookAttempt> = {}): WebhookAttempt => ({
  ...{ at: '2026-01-02T03:04:05.000Z', event_id: '0198c3a1-0000-7000-8000-000000000000', cursor: '42-0198c3a1' },
  ...{ type: 'TaskCompleted', uuid: fractal, attempt: 2, status: 500, latency_ms: 12, outcome: 'failed' },
  ...{ error: 'it answered 500', answer: 'no\nroom' },
  ...changes,
})

const parked: ParkedDelivery = {
  ...{ cursor: '42-0198c3a1', type: 'TaskCompleted', uuid: fractal, attempts: 17 },
  ...{ since: '2026-01-02T03:04:05.000Z', error: 'it answered 500' },
}

test('a webhook is created with what was asked for, and its secret is shown', () =>
  withTempDir((dir) =>
    withScriptedApi(
      () => json({ ...webhook({ types: ['TaskFailed', 'TaskDeleted'] }), secret }, 201),
      async (url, seen) => {
        const target = 'https://example.org/hooks'
        const plain = await runHere(['webhook', 'create', target], url)
        assert.equal([plain.code, plain.stderr], [0, ''])
        assert.equal([seen[0]?.method, seen[0]?.path, seen[0]?.body], ['POST', '/v1/webhooks', { url: target }])
        assert.ok(seen[0]?.headers.get('idempotency-key'))
        assert.match(plain.stdout, `| secret      | ${secret} (shown this once) |`)
        assert.match(plain.stdout, /\| types +\| TaskFailed, TaskDeleted +\|/)
        const file = join(dir, 'secret')
        await writeFile(file, `${secret}\n`)
        const whole = await runHere(
          [
            ...['webhook', 'create', target, '--description', 'ours', '--type', 'TaskFailed', 'TaskDeleted'],
            ...['--status', 'failed', '--uuid', fractal.toUpperCase(), '--after', '0', '--secret-file', file],
            ...['--output', 'json'],
          ],
          url,
        )
        assert.equal(JSON.parse(whole.stdout).secret, secret)
        assert.equal(seen[1]?.body, {
          ...{ url: target, description: 'ours', types: ['TaskFailed', 'TaskDeleted'], status: ['failed'] },
          ...{ uuid: [fractal], after: '0', secret },
        })
        assert.is.not(seen[0]?.headers.get('idempotency-key'), seen[1]?.headers.get('idempotency-key'))
        await runHere(['webhook', 'create', target, '--since', '2026-01-31T12:00:00Z'], url)
        assert.equal(seen[2]?.body, { url: target, since: '2026-01-31T12:00:00Z' })
      },
    ),
  ))

test('a creation of which nobody is sure is repeated with the key that is named', () => {
  const said = 'cannot be sure; repeat the request with the same Idempotency-Key'
  return withScriptedApi(
    () => problem('log-unavailable', 503, said, { 'retry-after': '60' }),
    async (url, seen) => {
      const create = ['webhook', 'create', 'https://example.org/hooks']
      const { code, stderr } = await runHere(create, url)
      const key = seen[0]?.headers.get('idempotency-key') ?? ''
      assert.equal([code, stderr], [1, `faafo: cannot be sure; repeat it with --idempotency-key ${key}\n`])
      await runHere([...create, '--idempotency-key', key], url)
      assert.is(seen[1]?.headers.get('idempotency-key'), key)
    },
  )
})

test('each command asks for what it says', () =>
  withScriptedApi(
    ({ method }) => (method === 'DELETE' ? new Response(null, { status: 204 }) : json({ ...webhook(), secret })),
    async (url, seen) => {
      const commands: [string[], string, string, unknown][] = [
        [['show', id], 'GET', path, undefined],
        [['change', id, '--url', 'https://a.example/', '--any-type'], 'PATCH', path, expectedChange],
        [
          ['change', id, '--description', '', '--status', 'failed'],
          'PATCH',
          path,
          { description: '', status: ['failed'] },
        ],
        [['pause', id], 'POST', `${path}/pause`, {}],
        [['pause', id, '--reason', 'we move'], 'POST', `${path}/pause`, { reason: 'we move' }],
        [['resume', id], 'POST', `${path}/resume`, undefined],
        [['retry', id, '42-0198c3a1', '43'], 'POST', `${path}/parked/retry`, { cursors: ['42-0198c3a1', '43'] }],
        [['retry', id, '--uuid', fractal], 'POST', `${path}/parked/retry`, { uuid: fractal }],
        [['retry', id, '--all'], 'POST', `${path}/parked/retry`, { all: true }],
        [['replay', id, '--after', '0'], 'POST', `${path}/replay`, { after: '0' }],
        [
          ['replay', id, '--since', '2026-01-31T12:00:00Z'],
          'POST',
          `${path}/replay`,
          { since: '2026-01-31T12:00:00Z' },
        ],
        [['delete', id], 'DELETE', path, undefined],
      ]
      for (const [args, method, path, body] of commands) {
        const { code, stderr } = await runHere(['webhook', ...args], url)
        assert.equal([code, stderr], [0, ''], args.join(' '))
        const last = seen.at(-1)
        assert.equal([last?.method, last?.path, last?.body], [method, path, body], args.join(' '))
      }
    },
  ))
const expectedChange = { url: 'https://a.example/', types: [] }

test('a secret is rotated to one that is made here, or of a file, and the same request may be sent again', () =>
  withTempDir((dir) => {
    let away = 1
    return withScriptedApi(
      ({ body }) =>
        away-- > 0
          ? problem('log-unavailable', 503, 'cannot be sure', { 'retry-after': '0' })
          : json({ ...webhook({ secrets: 2 }), secret: (body as { secret: string }).secret }),
      async (url, seen) => {
        const made = await runHere(['webhook', 'rotate-secret', id, '--output', 'json'], url)
        const { secret: shown } = JSON.parse(made.stdout)
        assert.match(shown, /^whsec_[A-Za-z0-9+/]{32}$/)
        assert.equal(
          seen.map(({ method, path, body }) => [method, path, body]),
          [1, 2].map(() => ['POST', `${path}/rotate-secret`, { secret: shown }]),
        )
        const file = join(dir, 'secret')
        await writeFile(file, `${secret}\n`)
        await runHere(['webhook', 'rotate-secret', id, '--secret-file', file, '--overlap', '0'], url)
        assert.equal(seen.at(-1)?.body, { secret, overlap: 0 })
      },
    )
  }))

test('lists are tables, or as the api gives them', () =>
  withScriptedApi(
    ({ path }) => {
      if (path.endsWith('/attempts'))
        return json({ attempts: [attempt(), attempt({ outcome: 'refused', status: null })] })
      if (path.endsWith('/parked')) return json({ parked: [parked] })
      return json({ webhooks: [webhook(), webhook({ state: 'paused', reason: 'we move', cursor: null })] })
    },
    async (url, seen) => {
      const list = await runHere(['webhook', 'list'], url)
      assert.match(list.stdout, `| ${id} | active | 42-0198c3a1 | 0      | https://example.org/hooks |`)
      assert.match(list.stdout, `| ${id} | paused | -           | 0      | https://example.org/hooks |`)
      const all = await runHere(['webhook', 'list', '--output', 'json'], url)
      assert.equal(JSON.parse(all.stdout)[0], webhook())
      const attempts = await runHere(['webhook', 'attempts', id, '--limit', '2'], url)
      assert.is(seen.at(-1)?.query.get('limit'), '2')
      assert.match(attempts.stdout, /\| TaskCompleted \| 2 +\| failed +\| 500 +\| 12 ms +\| it answered 500 +\|/)
      assert.match(attempts.stdout, /\| refused +\| - +\|/)
      const told = await runHere(['webhook', 'attempts', id, '--output', 'json'], url)
      assert.equal(JSON.parse(told.stdout)[0], attempt())
      const given = await runHere(['webhook', 'parked', id], url)
      assert.match(given.stdout, `| 42-0198c3a1 | TaskCompleted | ${fractal} | 17       |`)
      const givenJson = await runHere(['webhook', 'parked', id, '--output', 'json'], url)
      assert.equal(JSON.parse(givenJson.stdout), [parked])
    },
  ))

test('a ping that was not delivered is shown, and fails', () => {
  let answer = attempt({ cursor: null, uuid: null, outcome: 'delivered', status: 204, error: null, answer: null })
  return withScriptedApi(
    () => json(answer),
    async (url) => {
      const well = await runHere(['webhook', 'ping', id], url)
      assert.equal([well.code, well.stderr], [0, ''])
      assert.match(well.stdout, /\| outcome +\| delivered +\|/)
      answer = { ...answer, outcome: 'refused', status: null, error: 'cannot send to 127.0.0.1: it is not public' }
      const refused = await runHere(['webhook', 'ping', id, '--output', 'json'], url)
      assert.equal(
        [refused.code, refused.stderr],
        [1, 'faafo: the ping was refused: cannot send to 127.0.0.1: it is not public\n'],
      )
      assert.equal(JSON.parse(refused.stdout), answer)
    },
  )
})

test('what cannot be meant is told before anything is sent', async () => {
  const target = 'https://example.org/hooks'
  const wrong: [string[], RegExp][] = [
    [['create'], /missing required argument 'url'/],
    [['create', 'ftp://example.org/'], /expected a URL such as https:\/\/example.org\/hooks/],
    [['create', 'https://u:p@example.org/'], /expected a URL without a password/],
    [['change', id, '--url', 'example.org'], /expected a URL such as/],
    [['create', target, '--type', 'TaskPaused'], /'TaskPaused' is invalid/],
    [['create', target, '--status', 'done'], /'done' is invalid/],
    [['create', target, '--uuid', 'x'], /cannot read 'x' as a uuid/],
    [['create', target, '--after', 'x'], /expected a cursor such as 42-1f2e3d4c/],
    [['create', target, '--since', 'x'], /expected a time such as/],
    [['create', target, '--since', '2026-01-31T12:00:00Z', '--after', '0'], /cannot be used with/],
    [['create', target, '--idempotency-key', ''], /expected 1 to 255 printable ASCII characters/],
    [['create', target, '--secret-file', '/nowhere'], /cannot read the secret from '\/nowhere': no such file/],
    [['show', 'x'], /cannot read 'x' as a uuid/],
    [['change', id], /cannot change it without knowing how/],
    [['change', id, '--any-type', '--type', 'TaskFailed'], /cannot be used with/],
    [['rotate-secret', id, '--overlap', '-1'], /expected a whole number from 0/],
    [['attempts', id, '--limit', '0'], /expected a whole number from 1/],
    [['retry', id], /cannot retry without knowing what: give cursors, --uuid or --all/],
    [['retry', id, 'x'], /expected a cursor/],
    [['retry', id, '42', '--all'], /cannot retry cursors and more/],
    [['replay', id], /cannot replay without knowing from where/],
    [['delete'], /missing required argument 'id'/],
  ]
  for (const [args, expected] of wrong) {
    const { code, stdout, stderr } = await runHere(['webhook', ...args], 'http://127.0.0.1:9')
    assert.equal([code, stdout], [2, ''], args.join(' '))
    assert.match(stderr, expected)
    assert.match(stderr, new RegExp(`^faafo: .*; see faafo webhook ${args[0]} --help\n$`))
  }
})

test('errors are one line, and say the code of their exit', () =>
  withScriptedApi(
    ({ path }) =>
      path.endsWith('/ping')
        ? problem('subscribers-unavailable', 503, 'cannot ping: no subscriber answers', { 'retry-after': '5' })
        : problem('not-found', 404, `cannot find webhook '${id}': there is none of that id`),
    async (url, seen) => {
      const show = await runHere(['webhook', 'show', id], url)
      assert.equal([show.code, show.stderr], [1, `faafo: cannot find webhook '${id}': there is none of that id\n`])
      const ping = await runHere(['webhook', 'ping', id], url)
      assert.equal([ping.code, ping.stderr], [1, 'faafo: cannot ping: no subscriber answers\n'])
      assert.is(seen.length, 2, 'a ping is sent once')
      const away = await runHere(['webhook', 'list'], 'http://127.0.0.1:9')
      assert.is(away.code, 3)
      assert.match(away.stderr, /^faafo: cannot list webhooks: cannot reach the api at .*\n$/)
    },
  ))

test('from the command line and the client to the log and back', () =>
  withApi(
    ({ app }) =>
      withServer(app, async (port) => {
        const url = `http://127.0.0.1:${port}`
        const run = async (...args: string[]) => {
          const { code, stdout, stderr } = await runHere(['webhook', ...args, '--output', 'json'], url)
          assert.equal([code, stderr], [0, ''], args.join(' '))
          return JSON.parse(stdout)
        }
        const made = await run('create', 'https://example.org/hooks', '--status', 'failed', '--description', 'ours')
        assert.match(made.secret, /^whsec_/)
        const { secret: _, ...shown } = made
        assert.equal(await run('show', made.id), shown)
        assert.equal(await run('list'), [shown])
        const changed = await run('change', made.id, '--any-status', '--type', 'TaskCompleted')
        assert.equal([changed.status, changed.types, changed.description], [[], ['TaskCompleted'], 'ours'])
        assert.equal((await run('pause', made.id, '--reason', 'we move')).reason, 'we move')
        assert.is((await run('resume', made.id)).state, 'active')
        const rotated = await run('rotate-secret', made.id)
        assert.is.not(rotated.secret, made.secret)
        assert.is(rotated.secrets, 2)
        assert.is((await run('replay', made.id, '--after', '0')).cursor, '0')
        assert.equal(await run('parked', made.id), [])
        const { webhooks } = createClient({ endpoint: url })
        assert.equal(
          (await webhooks.list()).map(({ url }) => url),
          ['https://example.org/hooks'],
        )
        const key = { idempotencyKey: 'ours' }
        const one = await webhooks.create({ url: 'https://a.example/' }, key)
        assert.is((await webhooks.create({ url: 'https://a.example/' }, key)).id, one.id)
        await webhooks.remove(one.id)
        await webhooks.remove(one.id)
        const gone = await runHere(['webhook', 'delete', made.id], url)
        assert.equal(gone, { code: 0, stdout: `deleted ${made.id}\n`, stderr: '' })
        assert.equal(await run('delete', made.id), [{ id: made.id, outcome: 'deleted' }])
        assert.equal(await run('list'), [])
      }),
    { database: 'away' },
  ))

test.run()
