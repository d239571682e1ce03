import { connect } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { problemOf, problemResponse } from '../../services/api/problems.ts'
import { createClient } from '../../services/cli/client.ts'
import { until } from '../support/until.ts'
import { create, json, keptLog, params, post, unknownUuid, withApi, withWrites } from './with-api.ts'
import { exchange, withServer } from './with-server.ts'

test('bad input is a clear problem, and nothing of it is recorded', () =>
  withWrites(async ({ app, log }) => {
    const bad: [unknown, number, RegExp][] = [
      ['', 400, /empty/],
      ['{"width": 640,', 400, /not JSON/],
      ['<fractal/>', 400, /not JSON/],
      ['{"width": NaN}', 400, /not JSON/],
      ['null', 400, /object/],
      ['[]', 400, /object/],
      ['"text"', 400, /object/],
      [{}, 400, /width/],
      [{ ...params, width: '64' }, 400, /width/],
      [{ ...params, width: 0 }, 400, /width/],
      [{ ...params, width: 1 }, 400, /width/],
      [{ ...params, width: 64.5 }, 400, /width/],
      [{ ...params, width: 16_385 }, 400, /width/],
      [{ ...params, width: 31_623, height: 31_623 }, 400, /width/],
      [{ ...params, width: 16_384, height: 16_385 }, 400, /height/],
      [{ ...params, width: 1e9 }, 400, /width/],
      [{ ...params, iterations: 0 }, 400, /iterations/],
      [{ ...params, iterations: 1_000_001 }, 400, /iterations/],
      [{ ...params, width: 16_384, height: 16_384, iterations: 1_000_000 }, 400, /budget/],
      [{ ...params, xa: null }, 400, /xa/],
      [{ ...params, xa: '1' }, 400, /xa/],
      [JSON.stringify(params).replace('"xa":-2', '"xa":1e999'), 400, /xa/],
      [{ ...params, cx: 1 }, 400, /cx and cy/],
      [{ ...params, uuid: 'x' }, 400, /uuid/],
      [{ ...params, colour: 'red' }, 400, /colour/],
      [`{"width": ${' '.repeat(70_000)}1}`, 413, /larger than/],
    ]
    for (const [body, status, text] of bad) {
      const response = await post(app, '/v1/fractal', body)
      const problem = await json(response)
      const label = `${JSON.stringify(body).slice(0, 80)} ${JSON.stringify(problem)}`
      assert.is(response.status, status, label)
      assert.is(response.headers.get('content-type'), 'application/problem+json')
      assert.is(problem.status, status)
      assert.match(problem.detail, text, label)
      assert.is(problem.message, problem.detail)
      assert.ok(problem.title && problem.type === `/problems/${problem.code}`)
      assert.not.match(JSON.stringify(problem), /\bat .*\.ts|node_modules/)
    }
    const two = await json(post(app, '/v1/fractal', { ...params, width: 0, xa: 'x' }))
    assert.equal(
      two.errors.map((error: { pointer: string }) => error.pointer),
      ['/width', '/xa'],
    )
    assert.is((await log.head()).lastSeq, 0)
    assert.is((await post(app, '/v1/fractal', { ...params, xa: 1, xb: -1, ya: 1, yb: -1, iterations: 10 })).status, 201)
  }))

test('bodies come under their content type only', () =>
  withWrites(async ({ app }) => {
    const body = JSON.stringify(params)
    const status = async (headers: Record<string, string>, path = '/v1/fractal') =>
      (await app.request(path, { method: 'POST', headers, body })).status
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'application/xml',
      'application/x-ndjson',
    ]) {
      assert.is(await status({ 'content-type': type }), 415, type)
    }
    assert.is(await status({}), 415)
    assert.is(await status({ 'content-type': 'application/x-ndjson' }, '/v1/batch/'), 200)
    for (const type of ['application/json', 'Application/JSON; charset=utf-8']) {
      assert.is(await status({ 'content-type': type, accept: 'text/plain' }), 201)
    }
    assert.is(await status({ 'content-type': 'text/plain' }, `/v1/fractal/${unknownUuid}/cancel`), 415)
    const type = 'application/json'
    assert.is(await status({ 'content-type': type, 'content-encoding': 'gzip' }), 415)
    assert.is(await status({ 'content-type': type, 'content-encoding': 'identity' }), 201)
    assert.is(await status({ 'content-type': `${type}; charset=utf-16` }), 415)
    assert.is(await status({ 'content-type': `${type};charset="UTF-8"` }), 201)
    const detail = async (path: string, type: string) =>
      (await json(post(app, path, params, { 'content-type': type, 'content-length': '99' }))).detail
    assert.match(await detail('/v1/fractal', ''), /of type \(none given\): .*application\/json$/)
    assert.match(await detail('/v1/batch', 'text/csv'), /text\/csv: .*application\/json, or application\/x-ndjson/)
  }))

test('no page of another site can change anything, nor reach this machine under its own name', () =>
  withWrites(async ({ app, another, log }) => {
    const { uuid } = await create(app)
    const cancel = async (headers: Record<string, string>, api = app) =>
      (
        await api.request(`/v1/fractal/${uuid}/cancel`, {
          method: 'POST',
          headers: { host: 'localhost:8080', ...headers },
        })
      ).status
    for (const headers of [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { origin: 'http://localhost:3000' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site', origin: 'http://localhost:8080' },
      { host: 'evil.example' },
      { host: 'evil.example:8080', origin: 'http://evil.example:8080', 'sec-fetch-site': 'same-origin' },
      { host: 'localhost.evil.example' },
      { host: '127.0.0.1.evil.example' },
    ]) {
      assert.is(await cancel(headers as unknown as Record<string, string>), 403, JSON.stringify(headers))
    }
    assert.is((await log.history(uuid)).length, 1)
    assert.is((await app.request('/healthz', { headers: { host: 'evil.example' } })).status, 403)
    for (const host of ['localhost', '127.0.0.1:8080', '[::1]:8080', '127.9.9.9', 'LOCALHOST:1']) {
      assert.is((await app.request('/healthz', { headers: { host } })).status, 200, host)
    }
    assert.is(await cancel({ origin: 'http://localhost:8080' }), 200)
    assert.is(await cancel({ origin: 'http://localhost:8080', 'sec-fetch-site': 'same-origin' }), 200)
    assert.is(await cancel({}), 200)
    const open = another({ host: '0.0.0.0' })
    assert.is(await cancel({ host: 'fractals.example' }, open), 200)
    assert.is(await cancel({ host: 'fractals.example', origin: 'https://evil.example' }, open), 403)
  }))

test('a method that is not served is 405 and names those that are', () =>
  withWrites(async ({ app }) => {
    const put = await app.request(`/v1/fractal/${unknownUuid}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    })
    assert.is(put.status, 405)
    assert.equal(put.headers.get('allow')?.split(', ').sort(), ['DELETE', 'GET', 'HEAD'])
    assert.match((await json(put)).message, /events/)
    for (const [method, path, allow] of [
      ['DELETE', '/v1/fractal', 'GET, HEAD, POST'],
      ['GET', '/v1/batch', 'POST'],
      ['GET', `/v1/fractal/${unknownUuid}/cancel`, 'POST'],
      ['POST', '/', 'GET, HEAD'],
      ['PATCH', `/fractal/${unknownUuid}`, 'GET, HEAD'],
    ] as const) {
      const response = await app.request(path, { method })
      assert.is(response.status, 405, path)
      assert.is(response.headers.get('allow')?.split(', ').sort().join(', '), allow)
      assert.is((await json(response)).code, 'method-not-allowed')
    }
    for (const path of [
      '/nowhere',
      '/v1/nowhere',
      '/index/0',
      '/index/x',
      '/docs/package.json',
      '/docs/..%2fpackage.json',
    ]) {
      const response = await app.request(path)
      assert.is(response.status, 404, path)
      assert.is((await json(response)).code, 'not-found')
    }
    assert.is((await app.request('/docs/')).status, 200)
    assert.is((await app.request(`/v1/fractal/${unknownUuid}/cancel/`)).status, 405)
    assert.is((await post(app, '/v1/fractal/', params)).status, 201)
  }))

test('over a socket: huge, chunked and broken requests are refused and the connection ends well', () =>
  withWrites(({ app, log }) =>
    withServer(app, async (port) => {
      const head =
        'POST /v1/fractal HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n'
      const body = JSON.stringify(params)
      const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`
      const chunked = await exchange(
        port,
        `${head}Transfer-Encoding: chunked\r\n\r\n`,
        chunk(body.slice(0, 20)),
        chunk(body.slice(20)),
        '0\r\n\r\n',
      )
      assert.match(chunked, /^HTTP\/1.1 201 /)
      const declared = await exchange(port, `${head}Content-Length: 10000000000\r\n\r\n`, ' '.repeat(100_000))
      assert.match(declared, /^HTTP\/1.1 413 (.|\s)*body-too-large/)
      const endless = Array.from({ length: 40 }, () => chunk(' '.repeat(10_000)))
      const huge = await exchange(port, `${head}Transfer-Encoding: chunked\r\n\r\n`, ...endless, '0\r\n\r\n')
      assert.match(huge, /^HTTP\/1.1 413 /)
      assert.match(
        await exchange(port, `${head.replace('application/json', 'text/plain')}Content-Length: 2\r\n\r\n{}`),
        / 415 /,
      )
      assert.match(await exchange(port, 'GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n'), / 403 /)
      assert.match(await exchange(port, 'nonsense\r\n\r\n'), / 400 /)
      const large = await fetch(`http://127.0.0.1:${port}/v1/batch`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify([' '.repeat(3_000_000)]),
      })
      assert.is(large.status, 413)
      assert.is((await json(large)).code, 'body-too-large')
      assert.is((await log.head()).lastSeq, 1)
    }),
  ))

test('over a socket: a long q is answered, one that is too long is refused and told so', () =>
  withApi(({ app }) =>
    withServer(app, async (port) => {
      const client = createClient({ endpoint: `http://127.0.0.1:${port}` })
      const among = (length: number) => {
        const val = Array.from({ length }, () => unknownUuid)
        return client.list({ q: { filters: [{ name: 'uuid', op: 'in', val }] } })
      }
      assert.is((await among(1_000)).num_results, 0)
      for (const length of [2_000, 9_000]) {
        const error = await among(length).catch((error) => error)
        assert.ok(isFaafoError(error, 'url-too-long'), String(error))
        assert.match(error.message, /long.*; shorten q$/)
      }
    }),
  ))

test('a body that breaks off is no failure of ours', async () => {
  const { logger, lines } = keptLog()
  await withApi(
    ({ app }) =>
      withServer(app, async (port) => {
        const head = 'POST /v1/fractal HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'
        for (const start of [
          `${head}Content-Length: 100\r\n\r\n{"width"`,
          `${head}Transfer-Encoding: chunked\r\n\r\n5\r\n{"wid`,
        ]) {
          const socket = connect(port, '127.0.0.1')
          socket.on('error', () => {})
          const wanted = lines().length + 1
          socket.write(start, () => setImmediate(() => socket.destroy()))
          await until(() => lines().length === wanted, { what: 'the request is done with' })
        }
        await exchange(port, `${head}Transfer-Encoding: chunked\r\n\r\n`, '5\r\n{"wid\r\n', 'no chunk\r\n')
        await until(() => lines().length === 3, { what: 'the bad chunk is done with' })
        for (const { level, status, code, err } of lines()) {
          assert.equal([level, status, code, err], [20, 400, 'malformed-body', undefined])
        }
        assert.not.match(await (await app.request('/metrics')).text(), /status="500"/)
      }),
    { database: 'away', api: { logger } },
  )
})

test('foreseen problems are told of in a debug line, unforeseen ones as errors', async () => {
  const { logger, lines } = keptLog()
  await withWrites(async ({ another, log }) => {
    const last = () => lines().at(-1) ?? {}
    const app = another({ logger })
    await app.request('/v1/fractal')
    assert.equal([last().level, last().status, last().code], [20, 503, 'database-unavailable'])
    assert.match(last().reason, /^cannot list fractals: ./)
    const broken = another({ logger, log: { ...log, append: () => Promise.reject(new Error('a mistake')) } })
    assert.is((await post(broken, '/v1/fractal', params)).status, 500)
    assert.equal([last().level, last().status, last().err.message], [50, 500, 'a mistake'])
  })
})

test('an unforeseen error tells nothing of itself', async () => {
  const problem = problemOf(new Error('password is hunter2'))
  assert.is(problem.status, 500)
  assert.is(problem.code, 'internal')
  assert.not.match(JSON.stringify(problem), /hunter2/)
  const storage = new FaafoError('storage-unavailable', 'cannot read /secret/path: EACCES', { details: { key: 'k' } })
  assert.not.match(await problemResponse(storage).text(), /secret|"key"/)
})

test('every answer has the id of its request', () =>
  withWrites(async ({ app }) => {
    const given = await app.request('/healthz', { headers: { 'x-request-id': 'abc' } })
    assert.is(given.headers.get('x-request-id'), 'abc')
    assert.ok((await app.request('/nowhere')).headers.get('x-request-id'))
  }))

test.run()
