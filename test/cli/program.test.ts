import { closeSync, existsSync, openSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { freePort } from '../../services/platform/ports.ts'
import { runHere, startProgram } from './run-program.ts'
import { fractal, json, problem, withScriptedApi } from './scripted-api.ts'

const { uuid } = fractal()
const other = '7c9e6679-7425-40de-944b-e07fc1f90ae7'

const lines = (text: string) => text.split('\n').filter((line) => line !== '')

/** One line, without a stack. */
function isOneLine(stderr: string) {
  assert.is(lines(stderr).length, 1, stderr)
  assert.not.match(stderr, /\n {4}at /)
}

test('an api that does not answer is exit code 3 and one line that names the URL', async () => {
  const endpoint = `http://127.0.0.1:${await freePort()}`
  for (const args of [['list'], ['show', uuid], ['create', '--tasks', '20'], ['delete', uuid, other], ['status']]) {
    const { code, stdout, stderr } = await runHere(['--endpoint-url', endpoint, ...args])
    assert.is(code, 3, args[0])
    assert.is(stdout, '')
    assert.ok(stderr.includes(`cannot reach the api at ${endpoint}: connection refused`), stderr)
    isOneLine(stderr.replace('generating 20 task(s)\n', ''))
  }
})

test('a wrong command line is exit code 2 and one line that points to the help', async () => {
  const wrong: [string[], RegExp][] = [
    [['list', '--nonsense'], /unknown option '--nonsense'/],
    [['help', 'nope'], /unknown command 'nope'/],
    [['help', 'replay', 'nope'], /unknown command 'nope'/],
    [['create', '--uuid', uuid, '--tasks', '2'], /expected --tasks 1/],
    [['get', uuid, '-o', ''], /cannot use --output-file ''/],
    [['lst'], /unknown command 'lst' \(Did you mean list\?\)/],
    [['show'], /missing required argument 'uuid'/],
    [['show', 'abc'], /cannot read 'abc' as a uuid/],
    [['list', '--output', 'xml'], /Allowed choices are table, json/],
    [['list', '--limit', '0'], /cannot use --limit 0/],
    [['create', '--width', 'x', '--iterations', '0'], /--width: expected a whole number .*, got "x"; --iterations: /],
    [['get', uuid, '-o', '-', '--check-pixels'], /cannot use --check-pixels with standard output/],
    [['--endpoint-url', 'nonsense', 'list'], /cannot use the endpoint 'nonsense'/],
  ]
  for (const [args, expected] of wrong) {
    const { code, stdout, stderr } = await runHere(args, 'http://127.0.0.1:8080')
    assert.is(code, 2, args.join(' '))
    assert.is(stdout, '')
    assert.match(stderr, expected)
    assert.match(stderr, /; see faafo( [a-z]+)* --help\n$/)
    if (['create', 'get', 'show', 'list'].includes(args[0] ?? ''))
      assert.match(stderr, `; see faafo ${args[0]} --help\n`)
    isOneLine(stderr)
  }
})

test('a reader that has gone ends what only reads; what changes something is done to the end', () =>
  withScriptedApi(
    ({ method, path }) => (method === 'DELETE' ? new Response(null, { status: 204 }) : json(fractal({ uuid: path }))),
    async (endpoint, seen) => {
      const uuids = Array.from({ length: 4 }, (_, k) => `7c9e6679-7425-40de-944b-e07fc1f90ae${k}`)
      for (const [args, requests] of [
        [['delete', ...uuids], 4],
        [['show', uuid, '--output', 'json'], 1],
      ] as const) {
        seen.length = 0
        const { child, ended } = startProgram(args, { endpoint })
        child.stdout?.destroy()
        assert.equal(await ended, { code: 0, stdout: '', stderr: '' })
        assert.is(seen.length, requests)
      }
    },
  ))

test('the help of every command has examples', async () => {
  const all = await runHere(['--help'])
  assert.is(all.code, 0)
  const names = [...all.stdout.matchAll(/^ {2}([a-z]+)(?: .*)? {2,}\S/gm)].map(([, name = '']) => name)
  for (const expected of [
    'up',
    'migrate',
    'create',
    'list',
    'show',
    'get',
    'delete',
    'cancel',
    'retry',
    'status',
    'replay',
  ]) {
    assert.ok(names.includes(expected), `${expected} in ${names}`)
  }
  for (const name of names.filter((one) => one !== 'help')) {
    const { code, stdout } = await runHere([name, '--help'])
    assert.is(code, 0)
    assert.match(stdout, /Examples?:\n {2}\$ /, name)
  }
})

test('help prints the help of a command, and of one within it', async () => {
  for (const names of [[], ['show'], ['replay', 'show']]) {
    const { code, stdout } = await runHere(['help', ...names])
    assert.is(code, 0)
    assert.is(stdout, (await runHere([...names, '--help'])).stdout)
  }
})

test('a process ends with the exit code of its command', async () => {
  const { code, stdout, stderr } = await startProgram(['lst']).ended
  assert.is(code, 2)
  assert.is(stdout, '')
  isOneLine(stderr)
})

test('the version is printed', async () => {
  const { code, stdout } = await runHere(['--version'])
  assert.is(code, 0)
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/)
})

test('list reads every page, and as JSON prints nothing but the objects', () => {
  const all = Array.from({ length: 5 }, (_, i) => fractal({ cursor: `${i + 1}`, size: i + 1 }))
  return withScriptedApi(
    ({ query }) => {
      const from = Number(query.get('after'))
      const objects = all.slice(from, from + 2)
      return json({ objects, next: from + 2 < all.length ? `${from + 2}` : null })
    },
    async (endpoint, seen) => {
      const table = await runHere(['list'], endpoint)
      assert.is(table.code, 0, table.stderr)
      assert.match(table.stdout, /^\| UUID +\| Dimensions +\| Filesize +\|$/m)
      assert.is(table.stdout.match(/\d bytes/g)?.length, 5)
      assert.is(table.stderr, '')

      const printed = await runHere(['list', '--output', 'json'], endpoint)
      assert.equal(JSON.parse(printed.stdout), all)

      const some = await runHere(['list', '--limit', '3', '--status', 'failed', '--output', 'json'], endpoint)
      assert.equal(JSON.parse(some.stdout), all.slice(0, 3))
      const { query } = seen.at(-1) ?? {}
      assert.equal(JSON.parse(query?.get('q') ?? ''), { filters: [{ name: 'status', op: '==', val: 'failed' }] })
      assert.is(query?.get('results_per_page'), '3')
    },
  )
})

test('an empty list is valid JSON', () =>
  withScriptedApi(
    () => json({ objects: [], next: null }),
    async (endpoint) => {
      assert.equal(JSON.parse((await runHere(['list', '--output', 'json'], endpoint)).stdout), [])
    },
  ))

test('a reader that leaves early is no error', () => {
  const objects = Array.from({ length: 500 }, () => fractal())
  return withScriptedApi(
    ({ query }) => json({ objects, next: String(Number(query.get('after')) + 500) }), // without end
    async (endpoint) => {
      const { child, ended } = startProgram(['list', '--output', 'json'], { endpoint })
      child.stdout?.once('data', () => child.stdout?.destroy())
      const { code, stderr } = await ended
      assert.is(code, 0)
      assert.is(stderr, '')
    },
  )
})

test('a standard output without room is one line', async () => {
  if (!existsSync('/dev/full')) return // Linux has it
  const full = openSync('/dev/full', 'w')
  try {
    await withScriptedApi(
      () => json({ objects: [], next: null }),
      async (endpoint) => {
        const { code, stderr } = await startProgram(['list'], { endpoint, stdout: full }).ended
        assert.is(code, 1)
        assert.is(stderr, 'faafo: cannot write to standard output: no space left on device\n')
      },
    )
  } finally {
    closeSync(full)
  }
})

test('show prints the table of one fractal, or its object', () =>
  withScriptedApi(
    () => json(fractal()),
    async (endpoint) => {
      const table = await runHere(['show', uuid.toUpperCase()], endpoint)
      assert.match(table.stdout, /^\| duration +\| 4\.163147 seconds +\|$/m)
      const { stdout } = await runHere(['show', uuid, '--output', 'json'], endpoint)
      assert.equal(JSON.parse(stdout), fractal())
    },
  ))

test('an unknown fractal reads as in the original', () =>
  withScriptedApi(
    () => problem('not-found', 404, 'cannot show it: there is none of that uuid'),
    async (endpoint) => {
      const { code, stdout, stderr } = await startProgram(['show', uuid], { endpoint }).ended
      assert.is(code, 1)
      assert.is(stdout, '')
      assert.is(stderr, `faafo: fractal '${uuid}' not found\n`)
    },
  ))

test('delete, cancel and retry take several uuids, and go on after one that is refused', () =>
  withScriptedApi(
    ({ method, path }) => {
      if (path.includes(uuid)) return problem('illegal-transition', 409, 'cannot do that')
      return method === 'DELETE' ? new Response(null, { status: 204 }) : json(fractal({ uuid: other }))
    },
    async (endpoint, seen) => {
      for (const [name, done] of Object.entries({ delete: 'deleted', cancel: 'cancelled', retry: 'retrying' })) {
        const { code, stdout, stderr } = await runHere([name, uuid, other], endpoint)
        assert.is(code, 1)
        assert.is(stdout, `${done} ${other}\n`)
        assert.is(stderr, 'faafo: cannot do that\n')
      }
      const paths = seen.filter(({ path }) => path.includes(other)).map(({ method, path }) => `${method} ${path}`)
      const answered = fractal({ uuid: other })
      for (const [name, answer] of [
        ['delete', { uuid: other, outcome: 'deleted' }],
        ['cancel', answered],
        ['retry', answered],
      ] as const) {
        const { code, stdout } = await runHere([name, uuid, other, '--output', 'json'], endpoint)
        assert.equal([code, JSON.parse(stdout)], [1, [answer]])
      }
      const base = `/v1/fractal/${other}`
      assert.equal(paths, [`DELETE ${base}`, `POST ${base}/cancel`, `POST ${base}/retry`])
    },
  ))

test('status shows queue, lag and workers', () => {
  const status = {
    version: '0.1.0',
    queue: {
      depth: 7,
      waiting: 5,
      in_hand: 2,
      oldest_waiting: { uuid, created_at: '2026-01-02T03:04:05.000Z', seconds: 12.34 },
    },
    workers: [
      { name: 'worker-1', host: 'h1', version: '0.1.0', threads: 4, tasks: [uuid, other], state: 'working' },
      { name: 'worker-2', host: 'h2', version: '0.1.0', threads: 2, tasks: [], state: 'blocked', reason: 'disk full' },
    ],
    projection: { status: 'ok', seq: 10, lag_events: 3, lag_seconds: 0.2, parked: 1 },
  }
  return withScriptedApi(
    () => json(status),
    async (endpoint) => {
      const { code, stdout } = await runHere(['status'], endpoint)
      assert.is(code, 0)
      assert.match(stdout, /\| queue depth +\| 7 /)
      assert.match(stdout, /\| lag +\| 3 events, 0\.2 seconds /)
      assert.match(stdout, /\| parked events +\| 1 /)
      assert.match(stdout, /\| worker-1 \| h1 +\| 0\.1\.0 +\| 4 +\| working +\| [0-9a-f-]{36} and 1 more \|/)
      assert.match(stdout, /\| worker-2 .* blocked: disk full \| - /)
      assert.equal(JSON.parse((await runHere(['status', '--output', 'json'], endpoint)).stdout), status)
    },
  )
})

test('what the api advises is said as a command', () =>
  withScriptedApi(
    () => problem('log-unavailable', 503, 'cannot be sure; repeat the request with the same uuid'),
    async (endpoint) => {
      const { stderr } = await runHere(['delete', uuid], endpoint)
      assert.is(stderr, `faafo: cannot be sure; repeat it with faafo delete ${uuid}\n`)
    },
  ))

test('--verbose says every request with its path, status and time', () =>
  withScriptedApi(
    () => json(fractal()),
    async (endpoint) => {
      const { stderr } = await runHere(['show', uuid, '--verbose'], endpoint)
      assert.match(stderr, new RegExp(`^GET /v1/fractal/${uuid} 200 [0-9.]+ ms\n$`))
    },
  ))

test('--debug says every exchange, and errors with their stack', () =>
  withScriptedApi(
    () => problem('not-found', 404, 'none'),
    async (endpoint) => {
      const { code, stderr } = await startProgram(['show', uuid, '--debug'], { endpoint }).ended
      assert.is(code, 1)
      assert.match(stderr, new RegExp(`^GET ${endpoint}/v1/fractal/${uuid} 404 [0-9.]+ ms$`, 'm'))
      assert.match(stderr, /\n {4}at /)
    },
  ))

test.run()
