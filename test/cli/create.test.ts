import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'
import { params, picture, rewritten, uuid } from './picture.ts'
import { runHere, startProgram, withoutProgress } from './run-program.ts'
import { fractal, json, problem, requested, type Script, withScriptedApi } from './scripted-api.ts'

const lines = (text: string) => text.split('\n').filter((line) => line !== '')

/** Takes every request, and answers with `later` when asked for it. */
const taking =
  (later: Partial<ReturnType<typeof fractal>>): Script =>
  ({ method, path, body, query }) => {
    if (method === 'POST') return json(requested({ uuid: (body as { uuid: string }).uuid }), 201)
    const named = path.split('/')[3]
    if (named !== undefined) return json(fractal({ uuid: named, ...later }))
    const { filters } = JSON.parse(query.get('q') ?? '') as { filters: { val: string[] }[] }
    const objects = filters[0]?.val.map((one) => fractal({ uuid: one, ...later })) ?? []
    return json({ num_results: objects.length, objects, page: 1, total_pages: 1 })
  }

test('create sends as many requests as were asked for, and prints their uuids', () =>
  withScriptedApi(taking({}), async (endpoint, seen) => {
    const args = ['create', '--tasks', '12', '--width', '100', '--xa', '-1.5', '--max-height', '300']
    const { code, stdout, stderr } = await runHere(args, endpoint)
    assert.is(code, 0)
    assert.is(stderr, 'generating 12 task(s)\n')
    const sent = seen.map(({ body }) => body as ReturnType<typeof fractal>)
    assert.equal(lines(stdout).sort(), sent.map((one) => one.uuid).sort())
    assert.is(new Set(sent.map((one) => one.uuid)).size, 12)
    for (const { width, xa, height } of sent) {
      assert.equal([width, xa], [100, -1.5])
      assert.ok(height >= 256 && height <= 300)
    }
  }))

test('create --wait ends with the table of the finished fractals', () =>
  withScriptedApi(taking({}), async (endpoint) => {
    const { code, stdout, stderr } = await runHere(['create', '--tasks', '3', '--wait'], endpoint)
    assert.is(code, 0, stderr)
    assert.is(stdout.match(/26283 bytes/g)?.length, 3)
    assert.is(withoutProgress(stderr), 'generating 3 task(s)\n')
    assert.match(stderr, /\nrendering: 100 %, 3 of 3 finished\n$/)
    const printed = await runHere(['create', '--tasks', '1', '--wait', '--output', 'json'], endpoint)
    assert.is(JSON.parse(printed.stdout)[0].status, 'completed')
  }))

test('create --wait is exit code 1 where a fractal failed, and says which and why', () =>
  withScriptedApi(
    taking({ status: 'failed', error: { code: 'render-failed', message: 'no luck' } }),
    async (endpoint) => {
      const { code, stderr } = await runHere(['create', '--tasks', '2', '--wait'], endpoint)
      assert.is(code, 1)
      assert.is(stderr.match(/^faafo: fractal '[0-9a-f-]{36}' failed: no luck \(render-failed\)$/gm)?.length, 2, stderr)
    },
  ))

test('a refused request does not keep the others from being sent', () => {
  let count = 0
  const take = taking({})
  return withScriptedApi(
    (...args) =>
      ++count === 2 ? problem('invalid-request', 400, 'cannot request a fractal: too dear') : take(...args),
    async (endpoint) => {
      const { code, stdout, stderr } = await runHere(['create', '--tasks', '4'], endpoint)
      assert.is(code, 1)
      assert.is(lines(stdout).length, 3)
      assert.match(stderr, /^faafo: cannot request a fractal: too dear$/m)
    },
  )
})

test('Ctrl-C while waiting is exit code 130, and prints what was requested', () =>
  withScriptedApi(taking({ status: 'rendering' }), async (endpoint, seen) => {
    const { child, ended } = startProgram(['create', '--tasks', '1', '--wait'], { endpoint })
    await until(() => seen.length >= 2, { what: 'it waits' })
    child.kill('SIGINT')
    const { code, stdout, stderr } = await ended
    assert.is(code, 130)
    assert.is(stdout, `${(seen[0]?.body as { uuid: string } | undefined)?.uuid}\n`)
    assert.is(stderr, 'generating 1 task(s)\nstopped waiting; what was requested is rendered all the same\n')
  }))

test('a request of which nobody is sure is repeated by the command that is named', () => {
  let sure = false
  const take = taking({})
  return withScriptedApi(
    (...args) =>
      sure
        ? take(...args)
        : problem('log-unavailable', 503, 'cannot be sure; repeat the request with the same uuid', {
            'retry-after': '60',
          }),
    async (endpoint, seen) => {
      const { code, stdout, stderr } = await runHere(['create', '--tasks', '1', '--wait'], endpoint)
      assert.is(code, 1)
      assert.is(stdout, '')
      const [said, command = ''] = stderr.split('; repeat it with faafo ')
      assert.is(said, 'generating 1 task(s)\nfaafo: cannot be sure')
      sure = true
      assert.is((await runHere(command.trim().split(' '), endpoint)).code, 0)
      assert.is(seen.length, 2)
      assert.equal(seen[1]?.body, seen[0]?.body)
    },
  )
})

test('fractals that are deleted while they are waited for are counted as such', () =>
  withScriptedApi(
    (seen, incoming) =>
      seen.method === 'POST' ? taking({})(seen, incoming) : problem('removed', 410, 'it was deleted'),
    async (endpoint) => {
      const { code, stdout, stderr } = await runHere(['create', '--tasks', '1', '--wait'], endpoint)
      assert.is(code, 1)
      assert.is(stdout, '')
      assert.match(stderr, /0 of 1 finished, 1 deleted\nfaafo: fractal '.*' was deleted\n$/)
    },
  ))

/** What is asked for where a file of these bytes is the pattern. */
const like = (bytes: Uint8Array, ...args: string[]) => {
  const bodies: Record<string, unknown>[] = []
  return withScriptedApi(
    ({ body }) => {
      bodies.push(body as Record<string, unknown>)
      return json(requested({ uuid: (body as { uuid: string }).uuid }), 201)
    },
    (endpoint) =>
      withTempDir(async (dir) => {
        await writeFile(join(dir, 'a.png'), bytes)
        const { code, stderr } = await runHere(['create', '--like', join(dir, 'a.png'), ...args], endpoint)
        assert.is(code, 0, stderr)
      }),
  ).then(() => bodies)
}

test('create --like asks for the picture that a file describes, as a fractal of its own', async () => {
  const [body, ...others] = await like(picture)
  const { uuid: chosen, ...asked } = body ?? {}
  assert.equal(asked, params)
  assert.is.not(chosen, uuid)
  assert.equal(others, [])
})

test('create --like gives way to every option', async () => {
  const [exact] = await like(picture, '--width', '400', '--cy', '0.2', '--uuid', uuid)
  assert.equal(exact, { ...params, width: 400, cy: 0.2, uuid })
  const bodies = await like(picture, '--tasks', '3', '--min-height', '500', '--max-height', '600')
  assert.is(bodies.length, 3)
  for (const { uuid: _, height, ...rest } of bodies) {
    const { height: __, ...expected } = params
    assert.equal(rest, expected)
    assert.ok(Number(height) >= 500 && Number(height) <= 600, `height ${height}`)
  }
})

test('create --like keeps every digit', async () => {
  const exact = { ...params, xa: -1 / 3, xb: 1e-300, cx: Number.MIN_VALUE, cy: 123456789.12345679 }
  const [body] = await like(await rewritten({ Request: JSON.stringify(exact) }))
  const { uuid: _, ...asked } = body ?? {}
  assert.equal(asked, exact)
})

test.run()
