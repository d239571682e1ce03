import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { FractalObject } from '../../services/api/schemas.ts'
import { withPglite, withPostgres } from '../support/database.ts'
import { complete, create, json, type Parts, params, start, unknownUuid, withApi } from './with-api.ts'

type Q = Record<string, unknown>
const ask = (app: Parts['app'], q: Q | string, more = '&results_per_page=-1') =>
  Promise.resolve(
    app.request(`/v1/fractal?q=${encodeURIComponent(typeof q === 'string' ? q : JSON.stringify(q))}${more}`),
  )
const found = async (app: Parts['app'], q: Q): Promise<FractalObject[]> => {
  const body = await json(ask(app, q))
  if (!body.objects) throw new Error(JSON.stringify(body))
  return body.objects
}

/** Nine fractals, every third completed by one of two workers. */
async function populate(parts: Parts): Promise<FractalObject[]> {
  for (let i = 0; i < 9; i++) {
    const { uuid } = await create(parts.app, {
      ...params,
      width: 10 + i,
      height: 14,
      xa: i / 2 - 2,
      ya: -1,
      yb: -1 + (i % 2),
    })
    if (i % 3 === 0) await complete(parts, uuid)
    if (i % 3 === 1) await start(parts, uuid)
  }
  const { lastSeq } = await parts.log.head()
  const all = await json(parts.app.request(`/v1/fractal?results_per_page=-1&min_seq=${lastSeq}`))
  return all.objects
}

const spellings = {
  '==': ['==', 'eq', 'equals', 'equals_to'],
  '!=': ['!=', 'neq', 'does_not_equal', 'not_equal_to'],
  '>': ['>', 'gt'],
  '<': ['<', 'lt'],
  '>=': ['>=', 'ge', 'gte', 'geq'],
  '<=': ['<=', 'le', 'lte', 'leq'],
}
/** As SQL does: nothing compares with null. */
const holds = (op: string, a: number | string | null, b: number | string | null): boolean => {
  if (a === null || b === null) return false
  return { '==': a === b, '!=': a !== b, '>': a > b, '<': a < b, '>=': a >= b, '<=': a <= b }[op] ?? false
}

for (const [name, database] of [
  ['PGlite', withPglite],
  ['PostgreSQL', withPostgres],
] as const) {
  test(`every operator finds what a plain filter over the objects finds, on ${name}`, () =>
    withApi(
      async (parts) => {
        const { app } = parts
        const all = await populate(parts)
        const check = async (q: Q, expected: (object: FractalObject) => boolean) => {
          const uuids = (await found(app, q)).map((object) => object.uuid)
          assert.equal(
            uuids,
            all.filter(expected).map((object) => object.uuid),
            JSON.stringify(q),
          )
        }
        const some = all[4]
        const done = all[3]
        if (!some || !done) throw new Error('too few')
        const values = {
          ...{ uuid: some.uuid, width: 14, height: 14, iterations: 64, xa: 0, ya: -1, yb: 0, size: done.size },
          ...{ duration: 1.25, status: 'rendering', checksum: done.checksum, url: done.url, generated_by: 'w1' },
          ...{ created_at: some.created_at, finished_at: done.finished_at, cx: some.cx, xb: 2, cy: some.cy },
        } as const
        for (const [operator, names] of Object.entries(spellings)) {
          for (const [i, op] of names.entries()) {
            const some = i === 0 ? Object.entries(values) : Object.entries(values).slice(0, 2)
            for (const [name, val] of some) {
              await check({ filters: [{ name, op, val }] }, (o) => holds(operator, o[name as 'width'], val))
            }
            await check({ filters: [{ name: 'width', op, field: 'height' }] }, (o) =>
              holds(operator, o.width, o.height),
            )
            await check({ filters: [{ name: 'size', op, field: 'xa' }] }, (o) => holds(operator, o.size, o.xa))
          }
        }
        await check({ filters: [{ name: 'width', op: 'in', val: [11, 13, 99] }] }, (o) => [11, 13].includes(o.width))
        await check({ filters: [{ name: 'width', op: 'not_in', val: [11, 13] }] }, (o) => ![11, 13].includes(o.width))
        await check({ filters: [{ name: 'uuid', op: 'in', val: [] }] }, () => false)
        await check({ filters: [{ name: 'uuid', op: 'not_in', val: [] }] }, () => true)
        await check({ filters: [{ name: 'checksum', op: 'is_null' }] }, (o) => o.checksum === null)
        await check({ filters: [{ name: 'url', op: 'is_not_null', val: null }] }, (o) => o.url !== null)
        const like = (name: 'uuid' | 'generated_by' | 'status', val: string, expected: (o: FractalObject) => boolean) =>
          check({ filters: [{ name, op: 'like', val }] }, expected)
        await like('status', 'r%', (o) => o.status.startsWith('r'))
        await like('generated_by', '_1', (o) => o.generated_by !== null)
        await like('generated_by', '%\\_1', () => false)
        await like('uuid', `${some.uuid.slice(0, 30)}%`, (o) => o.uuid.startsWith(some.uuid.slice(0, 30)))
        const both = [
          { name: 'width', op: 'ge', val: 12 },
          { name: 'status', op: 'eq', val: 'completed' },
        ]
        await check({ filters: both }, (o) => o.width >= 12 && o.status === 'completed')
        const [wide, finished] = both
        const tall = { name: 'yb', op: '>', val: -1 }
        await check({ filters: [{ or: both }] }, (o) => o.width >= 12 || o.status === 'completed')
        await check({ filters: [{ or: [{ and: both }, tall] }, wide] }, (o) => {
          return ((o.width >= 12 && o.status === 'completed') || o.yb > -1) && o.width >= 12
        })
        await check({ filters: [{ and: [{ or: [finished, tall] }, wide] }] }, (o) => {
          return (o.status === 'completed' || o.yb > -1) && o.width >= 12
        })
        await check({ filters: [] }, () => true)
        await check({}, () => true)
      },
      { database },
    ))
}

test('results are ordered, cut and single as the original did it', () =>
  withApi(async (parts) => {
    const { app } = parts
    const all = await populate(parts)
    const ordered = await found(app, {
      order_by: [{ field: 'yb', direction: 'desc' }, { field: 'width' }],
      limit: 5,
      offset: 2,
    })
    const expected = [...all].sort((a, b) => b.yb - a.yb || a.width - b.width).slice(2, 7)
    assert.equal(
      ordered.map((o) => o.width),
      expected.map((o) => o.width),
    )

    const byWidth = (op: string, val: number) => ({ filters: [{ name: 'width', op, val }], single: true })
    const one = await ask(app, byWidth('==', 12), '')
    assert.is(one.status, 200)
    assert.equal(await one.json(), all[2])
    for (const [q, message] of [
      [byWidth('==', 999), 'No result found'],
      [byWidth('>', 12), 'Multiple results found'],
    ] as const) {
      const response = await ask(app, q)
      const body = await json(response)
      assert.is(response.status, 400)
      assert.is(body.message, message)
      assert.is(body.code, 'query-result')
    }
    assert.is((await json(ask(app, { ...byWidth('>', 12), limit: 1 }))).width, 13)
  }))

test('a query that makes no sense is 400 and says where', () =>
  withApi(async ({ app }) => {
    await create(app)
    const filter = (name: string, op: string, rest: object = {}) => ({ filters: [{ name, op, ...rest }] })
    const bad: [Q | string, string | undefined][] = [
      ['', undefined],
      ['{', undefined],
      ['[]', ''],
      ['null', ''],
      [{ filter: [] }, ''],
      [{ filters: {} }, '/filters'],
      [{ filters: [{ name: 'width' }] }, '/filters/0/op'],
      [{ filters: [null] }, '/filters/0'],
      [{ filters: null }, '/filters'],
      [{ filters: [{ or: [] }] }, '/filters/0/or'],
      [{ filters: [{ or: {} }] }, '/filters/0/or'],
      [{ filters: [{ or: [{ name: 'width', op: 'eq', val: 1 }], and: [] }] }, '/filters/0'],
      [{ filters: [{ and: [{ or: [{ name: 'width', op: 'eq', val: 'x' }] }] }] }, '/filters/0/and/0/or/0/val'],
      [`{"filters":[${'{"or":['.repeat(40)}${']}'.repeat(40)}]}`, `/filters/0${'/or/0'.repeat(10)}`],
      [{ limit: -1 }, '/limit'],
      [{ limit: '3' }, '/limit'],
      [{ offset: 1.5 }, '/offset'],
      [{ single: 'yes' }, '/single'],
      [{ order_by: [{ field: 'width', direction: 'up' }] }, '/order_by/0/direction'],
      [{ order_by: [{ field: 'nonsense' }] }, '/order_by/0/field'],
      [{ order_by: [{ field: 'constructor' }] }, '/order_by/0/field'],
      [filter('nonsense', 'eq', { val: 1 }), '/filters/0/name'],
      [filter('width; drop table fractal', 'eq', { val: 1 }), '/filters/0/name'],
      [filter('width', 'ilike', { val: '%' }), '/filters/0/op'],
      [filter('width', 'eq'), '/filters/0'],
      [filter('width', 'eq', { val: 1, field: 'height' }), '/filters/0'],
      [filter('width', 'eq', { val: '64' }), '/filters/0/val'],
      [filter('width', 'eq', { val: null }), '/filters/0/val'],
      [filter('width', 'eq', { val: 1.5 }), '/filters/0/val'],
      [filter('width', 'eq', { val: 1e12 }), '/filters/0/val'],
      [filter('width', 'eq', { val: [1] }), '/filters/0/val'],
      [filter('width', 'in', { val: 1 }), '/filters/0/val'],
      [filter('width', 'in', { val: [1, 'x'] }), '/filters/0/val/1'],
      [filter('width', 'like', { val: '1%' }), '/filters/0/val'],
      [filter('xa', 'eq', { val: '1' }), '/filters/0/val'],
      ['{"filters":[{"name":"xa","op":"<","val":1e999}]}', '/filters/0/val'],
      [filter('status', 'eq', { val: 3 }), '/filters/0/val'],
      [filter('status', 'eq', { val: 'a\0b' }), '/filters/0/val'],
      [filter('status', 'like', { val: 'a\\' }), '/filters/0/val'],
      [filter('status', 'like', { val: 'a\0' }), '/filters/0/val'],
      [filter('uuid', 'eq', { val: 'x' }), '/filters/0/val'],
      [filter('created_at', 'gt', { val: 'yesterday' }), '/filters/0/val'],
      [filter('created_at', 'gt', { val: '0000-01-01T00:00:00Z' }), '/filters/0/val'],
      [filter('width', 'eq', { field: 'status' }), '/filters/0/field'],
      [filter('width', 'eq', { field: 'nonsense' }), '/filters/0/field'],
      [filter('width', 'in', { field: 'height' }), '/filters/0/op'],
      [filter('status', 'is_null', { field: 'height' }), '/filters/0/op'],
      [filter('status', 'is_null', { val: [1] }), '/filters/0/val'],
      [filter('created_at', 'gt', { val: '2026-02-30T00:00:00Z' }), '/filters/0/val'],
    ]
    for (const [q, pointer] of bad) {
      const response = await ask(app, q)
      const body = await json(response)
      assert.is(response.status, 400, JSON.stringify(q))
      assert.is(body.code, 'invalid-request')
      assert.is(body.errors?.[0].pointer, pointer, JSON.stringify(q))
    }
    const odd = [
      filter('status', 'eq', { val: "'; drop table fractal; --" }),
      filter('status', 'like', { val: '\\\\' }),
      filter('xa', 'gt', { val: -1e308 }),
      filter('xa', 'gt', { val: 5e-324 }),
      filter('size', 'lt', { val: Number.MAX_SAFE_INTEGER }),
      filter('uuid', '>', { val: unknownUuid }),
      filter('created_at', 'gt', { val: '9999-12-31T23:59:59.123456789Z' }),
      { limit: 0 },
      { offset: Number.MAX_SAFE_INTEGER },
    ]
    for (const q of odd) assert.is((await ask(app, q)).status, 200, JSON.stringify(q))
    assert.is((await json(app.request('/v1/fractal'))).num_results, 1)
  }))

test.run()
