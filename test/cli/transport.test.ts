import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createClient } from '../../services/cli/client.ts'
import { freePort } from '../../services/platform/ports.ts'
import { fractal, json, problem, withScriptedApi } from './scripted-api.ts'
import { failure, parameters, withClient } from './with-client.ts'

const { uuid } = fractal()

test('an api that stays away is asked three times in all, then its problem is thrown', () =>
  withClient(
    () => problem('log-unavailable', 503, 'cannot reach the log', { 'retry-after': '0' }),
    async (client, seen) => {
      const error = await failure('log-unavailable', () => client.get(uuid))
      assert.is(error.message, 'cannot reach the log')
      assert.is(error.details.status, 503)
      assert.is(seen.length, 3)
    },
  ))

test('a retry is not sent twice, nor anything to an api that asks for a long pause', () =>
  withClient(
    ({ method }) => problem('log-unavailable', 503, 'away', { 'retry-after': method === 'POST' ? '0' : '60' }),
    async (client, seen) => {
      await failure('log-unavailable', () => client.retry(uuid))
      await failure('log-unavailable', () => client.get(uuid))
      assert.is(seen.length, 2)
    },
  ))

test("an error has the problem's code, status and further members", () =>
  withClient(
    () => json({ code: 'invalid-request', detail: 'width: too small', errors: [{ pointer: '/width' }] }, 400),
    async (client) => {
      const error = await failure('invalid-request', () => client.request(parameters))
      assert.is(error.message, 'cannot request a fractal: width: too small')
      assert.equal(error.details, { status: 400, errors: [{ pointer: '/width' }] })
    },
  ))

test('where nothing answers the error is unreachable and names the endpoint', async () => {
  const endpoint = `http://127.0.0.1:${await freePort()}`
  const error = await failure('unreachable', () => createClient({ endpoint }).get(uuid))
  assert.is(error.message, `cannot get fractal '${uuid}': cannot reach the api at ${endpoint}: connection refused`)
})

test('a server that is not the api is unreachable too', () =>
  withClient(
    ({ path }) => new Response('<h1>It works!</h1>', { status: path.endsWith(uuid) ? 404 : 200 }),
    async (client, _, url) => {
      const missing = await failure('unreachable', () => client.get(uuid))
      assert.ok(missing.message.includes(`${url}: what answers there is not the Fractals api`), missing.message)
      await failure('unreachable', () => client.list())
    },
  ))

test('an endpoint that is no http URL is refused at once', () => {
  for (const endpoint of ['localhost:8080', 'ftp://x', '', 'nonsense']) {
    assert.throws(() => createClient({ endpoint }), /expected a URL such as/)
  }
})

test('the path of an endpoint is kept, and the key is sent as bearer token', () =>
  withScriptedApi(
    () => json(fractal()),
    async (url, seen) => {
      await createClient({ endpoint: `${url}/fractals/`, apiKey: 'secret', userAgent: 'mine/1' }).get('../a b')
      assert.is(seen[0]?.path, '/fractals/v1/fractal/..%2Fa%20b')
      assert.is(seen[0]?.headers.get('authorization'), 'Bearer secret')
      assert.is(seen[0]?.headers.get('user-agent'), 'mine/1')
    },
  ))

test('an endpoint may end in /v1', () =>
  withScriptedApi(
    () => json(fractal()),
    async (url, seen) => {
      for (const end of ['/v1', '/v1/', '/fractals/v1']) await createClient({ endpoint: url + end }).get(uuid)
      assert.equal(
        seen.map(({ path }) => path),
        ['', '', '/fractals'].map((front) => `${front}/v1/fractal/${uuid}`),
      )
    },
  ))

test('a port that fetch refuses is named as such', async () => {
  const error = await failure('unreachable', () => createClient({ endpoint: 'http://127.0.0.1:1' }).get(uuid))
  assert.match(error.message, /http:\/\/127\.0\.0\.1:1: HTTP clients cannot use this port$/)
})

test.run()
