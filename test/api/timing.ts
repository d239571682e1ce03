import { withPostgres } from '../support/database.ts'
import { create, withApi, post, params, json } from './with-api.ts'
for (const database of [undefined, withPostgres] as const) {
await withApi(async ({ app }) => {
  for (let i = 0; i < 12; i++) {
    const t0 = performance.now()
    const o = await create(app)
    const t1 = performance.now()
    await app.request('/v1/fractal')
    const t2 = performance.now()
    await app.request('/v1/fractal/' + o.uuid)
    const t3 = performance.now()
    await post(app, '/v1/fractal', { ...params, uuid: o.uuid })
    console.log('create', (t1 - t0).toFixed(1), 'list', (t2 - t1).toFixed(1), 'get', (t3 - t2).toFixed(1), 'again', (performance.now()-t3).toFixed(1))
  }
}, database ? { database } : {})
}
