import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { withPglite, withPostgres } from '../support/database.ts'
import { complete, create, fail, json, params, post, start, unknownUuid, withApi } from './with-api.ts'

type Listed = { uuid: string; cursor: string }
const get = (app: Parameters<typeof post>[0], path: string) => Promise.resolve(app.request(path))
const query = (path: string, fields: Record<string, unknown>) => {
  const text = Object.entries(fields).map(([name, value]) => [
    name,
    typeof value === 'string' ? value : JSON.stringify(value),
  ])
  return `${path}?${new URLSearchParams(text as [string, string][])}`
}
const uuidsOf = (body: { objects: Listed[] }) => body.objects.map((object) => object.uuid)

test('what was written through an api is read through it at once', () =>
  withApi(async (parts) => {
    const { app } = parts
    for (let round = 0; round < 10; round++) {
      const created = await create(app)
      assert.ok(uuidsOf(await json(get(app, query('/v1/fractal', { results_per_page: -1 })))).includes(created.uuid))
      assert.equal(await json(get(app, `/v1/fractal/${created.uuid.toUpperCase()}`)), created)
      await app.request(`/v1/fractal/${created.uuid}`, { method: 'DELETE' })
      assert.is((await get(app, `/v1/fractal/${created.uuid}`)).status, 404)
      assert.is((await json(get(app, '/v1/fractal'))).num_results, 0)
    }
  }))

test('without a projector a new fractal is found all the same, and min_seq says 503', () =>
  withApi(
    async (parts) => {
      const { app, another } = parts
      const created = await create(app)
      assert.equal(await json(get(another(), `/v1/fractal/${created.uuid}`)), created)
      assert.equal(await json(get(app, `/v1/fractal/${created.uuid}`)), created)
      for (const path of ['/v1/fractal', `/v1/fractal/${created.uuid}`]) {
        const behind = await get(another(), query(path, { min_seq: created.cursor }))
        assert.is(behind.status, 503)
        assert.is((await json(behind)).code, 'projection-behind')
        assert.ok(Number(behind.headers.get('retry-after')) > 0)
      }
    },
    { projector: false },
  ))

test('min_seq makes another api wait, and a cursor of another log is 410', () =>
  withApi(async ({ app, another }) => {
    for (let round = 0; round < 5; round++) {
      const created = await create(app)
      const listed = await json(get(another(), query('/v1/fractal', { min_seq: created.cursor, results_per_page: -1 })))
      assert.ok(uuidsOf(listed).includes(created.uuid))
    }
    const codes = ['1-00000000', '999-00000000', '1-xyz', '', '-1'].map(async (min_seq) => {
      const response = await get(app, query('/v1/fractal', { min_seq }))
      return [response.status, (await json(response)).code]
    })
    const replaced = [410, 'log-replaced']
    const invalid = [400, 'invalid-request']
    assert.equal(await Promise.all(codes), [replaced, replaced, invalid, invalid, invalid])
    assert.is((await get(app, '/v1/fractal?after=1-00000000')).status, 410)
    assert.is((await get(app, '/v1/fractal?min_seq=1')).status, 200)
  }))

test('progress of a render is shown while it renders', () =>
  withApi(async (parts) => {
    const { app, broker } = parts
    const request = () => json(post(app, '/v1/fractal', params, { 'idempotency-key': 'mine' }))
    const { uuid } = await request()
    const event = await start(parts, uuid)
    const progress = async () =>
      (await json(get(app, query(`/v1/fractal/${uuid}`, { min_seq: `${event.seq}` })))).progress
    assert.is(await progress(), 0)
    broker.nc().publish(broker.names.progress(uuid), 'not json')
    broker.nc().publish(broker.names.progress(uuid), JSON.stringify({ generation: 1, done: 3, total: 4 }))
    await broker.nc().flush()
    assert.is(await progress(), 0.75)
    assert.is((await request()).status, 'requested', 'the first answer again')
    assert.is(await progress(), 0.75)
    const done = await complete(parts, uuid)
    const object = await json(get(app, query(`/v1/fractal/${uuid}`, { min_seq: `${done.seq}` })))
    assert.equal([object.progress, object.status, object.url], [null, 'completed', `/fractal/${uuid}`])
  }))

for (const [name, database] of [
  ['PGlite', withPglite],
  ['PostgreSQL', withPostgres],
] as const) {
  test(`numbered pages are as the original's, on ${name}`, () =>
    withApi(
      async ({ app }) => {
        const empty = { num_results: 0, objects: [], page: 1, total_pages: 0 }
        assert.equal(await json(get(app, '/v1/fractal')), empty)
        assert.equal(await json(get(app, '/v1/fractal?results_per_page=-1')), empty)
        const created: Listed[] = []
        for (let i = 0; i < 23; i++) created.push(await create(app))
        const uuids = created.map((object) => object.uuid)
        const page = async (fields: object) => {
          const { objects, ...numbers } = await json(get(app, query('/v1/fractal', { ...fields })))
          return [objects.map((object: Listed) => object.uuid), Object.values(numbers)]
        }
        assert.equal(await json(get(app, '/v1/fractal')).then(Object.keys), [
          'num_results',
          'objects',
          'page',
          'total_pages',
        ])
        assert.equal(await page({}), [uuids.slice(0, 10), [23, 1, 3]])
        assert.equal(await page({ page: 3 }), [uuids.slice(20), [23, 3, 3]])
        assert.equal(await page({ page: 4 }), [[], [23, 4, 3]])
        assert.equal(await page({ page: 2, results_per_page: 20 }), [uuids.slice(20), [23, 2, 2]])
        assert.equal(await page({ page: 2, limit: 3 }), [uuids.slice(3, 6), [23, 2, 8]])
        assert.equal(await page({ results_per_page: -1 }), [uuids, [23, 1, 1]])
        assert.equal(await page({ results_per_page: 5000 }), [uuids, [23, 1, 1]])
        const reversed = { order_by: [{ field: 'created_at', direction: 'desc' }] }
        assert.equal((await page({ results_per_page: -1, q: { ...reversed, offset: 20 } }))[1], [3, 1, 1])
        assert.equal(await page({ results_per_page: -1, q: { offset: 3, limit: 7 } }), [uuids.slice(3, 10), [7, 1, 1]])
        assert.equal(await page({ page: 2, results_per_page: 3, q: { offset: 3, limit: 5 } }), [
          uuids.slice(6, 8),
          [5, 2, 2],
        ])
        for (const bad of [
          { page: 0 },
          { page: -1 },
          { page: 'one' },
          { page: '' },
          { page: '1.5' },
          { results_per_page: 0 },
          { results_per_page: -2 },
          { page: '1e300' },
          { results_per_page: 'all' },
        ]) {
          const response = await get(app, query('/v1/fractal', bad))
          assert.is(response.status, 400, JSON.stringify(bad))
          const [{ pointer, detail }, ...more] = (await json(response)).errors
          assert.equal([pointer, more], [`/${Object.keys(bad)[0]}`, []])
          assert.match(detail, /^expected a whole number from 1 to 1000000000(, or -1 for all)?$/)
        }
      },
      { database },
    ))
}

test('all on one page is streamed in chunks, in either order', () =>
  withApi(async ({ app }) => {
    const batch = Array.from({ length: 1000 }, (_, i) => ({ ...params, width: 10 + i }))
    await post(app, '/v1/batch', batch)
    await post(app, '/v1/batch', batch)
    const after = await create(app, { ...params, width: 5 })
    const numbers = (body: Record<string, unknown>) => [body.num_results, body.page, body.total_pages]
    const all = await json(get(app, query('/v1/fractal', { results_per_page: -1, min_seq: after.cursor })))
    assert.equal([all.objects.length, ...numbers(all)], [2001, 2001, 1, 1])
    assert.is(new Set(uuidsOf(all)).size, 2001)
    const q = { order_by: [{ field: 'width', direction: 'desc' }] }
    const ordered = await json(get(app, query('/v1/fractal', { results_per_page: -1, q })))
    const widths = ordered.objects.map((object: { width: number }) => object.width)
    assert.equal(
      widths,
      [...widths].sort((a, b) => b - a),
    )
    assert.equal(numbers(ordered), [2001, 1, 1])
    const large = await json(get(app, query('/v1/fractal', { results_per_page: 1500, page: 2 })))
    assert.equal([large.objects.length, ...numbers(large)], [501, 2001, 2, 2])
    assert.equal(uuidsOf(large), uuidsOf(all).slice(1500))
  }))

test('keyset pages neither skip nor repeat, whatever is deleted or added meanwhile', () =>
  withApi(async ({ app }) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('create', 'delete', 'read'), { minLength: 5, maxLength: 25 }),
        fc.integer({ min: 1, max: 4 }),
        async (steps, size) => {
          const before = await Promise.all(Array.from({ length: 6 }, () => create(app)))
          const deleted = new Set<string>()
          const seen: string[] = []
          const added: string[] = []
          let next: string | null = '0'
          const read = async () => {
            const response = await get(app, query('/v1/fractal', { after: next ?? '', results_per_page: size }))
            const body: { objects: Listed[]; next: string | null } = await json(response)
            assert.is(response.headers.has('link'), body.next !== null)
            seen.push(...uuidsOf(body))
            next = body.next
          }
          for (const step of steps) {
            if (step === 'create') added.push((await create(app)).uuid)
            if (step === 'delete') {
              const uuid = before.map((object) => object.uuid).find((u) => !seen.includes(u) && !deleted.has(u))
              if (uuid) {
                deleted.add(uuid)
                await app.request(`/v1/fractal/${uuid}`, { method: 'DELETE' })
              }
            }
            if (step === 'read' && next !== null) await read()
          }
          const wanted = [...before.map((o) => o.uuid).filter((uuid) => !deleted.has(uuid))]
          while (next !== null) await read()
          assert.is(new Set(seen).size, seen.length, 'one came twice')
          for (const uuid of wanted) assert.ok(seen.includes(uuid), 'one was skipped')
          for (const uuid of [...before.map((o) => o.uuid), ...added]) {
            await app.request(`/v1/fractal/${uuid}`, { method: 'DELETE' })
          }
        },
      ),
      { numRuns: 12 },
    )
    assert.is((await json(get(app, '/v1/fractal'))).num_results, 0)
  }))

test('keyset pages take filters, follow their links, and refuse what does not go with them', () =>
  withApi(async ({ app }) => {
    for (let width = 10; width < 22; width++) await create(app, { ...params, width })
    const q = { filters: [{ name: 'width', op: 'ge', val: 15 }] }
    const widths: number[] = []
    let path: string | undefined = query('/v1/fractal', { after: '0', limit: 3, q })
    while (path) {
      const response: Response = await get(app, path)
      for (const object of (await json(response)).objects) widths.push(object.width)
      path = /<(.*)>; rel="next"/.exec(response.headers.get('link') ?? '')?.[1]
    }
    assert.equal(widths, [15, 16, 17, 18, 19, 20, 21])
    const bad = [
      { page: 2 },
      { results_per_page: -1 },
      { limit: 1001 },
      { q: { offset: 1 } },
      { q: { single: true } },
      { after: 'x' },
    ]
    for (const fields of bad) {
      const response = await get(app, query('/v1/fractal', { after: '0', ...fields }))
      assert.is(response.status, 400, JSON.stringify(fields))
    }
  }))

test('an unknown or malformed uuid is 404 with a message that says so', () =>
  withApi(async (parts) => {
    const { app } = parts
    for (const [uuid, text] of [
      [unknownUuid, /none of that uuid/],
      ['no-uuid', /no uuid/],
    ] as const) {
      for (const path of [`/v1/fractal/${uuid}`, `/fractal/${uuid}`, `/v1/fractal/${uuid}/image`]) {
        const response = await get(app, path)
        const { detail, message, type, status } = await json(response)
        assert.is(response.status, 404)
        assert.is(status, 404)
        assert.is(type, '/problems/not-found')
        assert.match(detail, text)
        assert.is(message, detail)
      }
    }
    const { uuid } = await create(app)
    const failed = await fail(parts, uuid)
    const object = await json(get(app, query(`/v1/fractal/${uuid}`, { min_seq: `${failed.seq}` })))
    assert.equal(object.error, { code: 'render-failed', message: 'it did not work' })
  }))

test.run()
