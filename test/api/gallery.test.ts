import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { complete, create, fail, json, type Parts, params, record, withApi } from './with-api.ts'

const page = async (app: Parts['app'], path: string, status = 200) => {
  const response = await app.request(path, { headers: { accept: 'text/html' } })
  assert.is(response.status, status, path)
  assert.match(response.headers.get('content-type') ?? '', /^text\/html/)
  assert.match(response.headers.get('content-security-policy') ?? '', /default-src 'none'/)
  const text = await response.text()
  return { text, uuids: [...text.matchAll(/<h2>([0-9a-f-]{36})<\/h2>/g)].map((match) => match[1]) }
}

test('finished fractals, five to a page, the newest first', () =>
  withApi(async (parts) => {
    const { app } = parts
    assert.match((await page(app, '/')).text, /No fractal is finished yet/)
    const finished: string[] = []
    for (let i = 0; i < 12; i++) {
      const { uuid } = await create(app)
      if (i % 6 === 5) await fail(parts, uuid)
      else finished.unshift(uuid)
      if (i % 6 !== 5) await complete(parts, uuid)
    }
    const last = await create(app)
    await json(app.request(`/v1/fractal?min_seq=${last.cursor}`))
    const first = await page(app, '/')
    assert.equal(first.uuids, finished.slice(0, 5))
    assert.equal((await page(app, '/index')).uuids, first.uuids)
    assert.equal((await page(app, '/index/1')).uuids, first.uuids)
    assert.equal((await page(app, '/index/2')).uuids, finished.slice(5))
    assert.match(first.text, /Page 1 of 2/)
    assert.match(first.text, /rel="next" href="\/index\/2"/)
    assert.not.match(first.text, /rel="prev"/)
    assert.match((await page(app, '/index/2')).text, /rel="prev" href="\/index\/1"/)
    assert.match((await page(app, '/index/9', 404)).text, /no page 9/)
    assert.equal((await page(app, '/index/')).uuids, first.uuids)
    const icon = /rel="icon" type="(.*)" href="(.*)"/.exec(first.text)
    const picture = await app.request(icon?.[2] ?? '')
    assert.equal([picture.status, picture.headers.get('content-type')], [200, icon?.[1]])
    assert.match(await picture.text(), /^<svg /)
    for (const bad of ['/index/0', '/index/-1', '/index/x']) {
      const response = await app.request(bad, { headers: { accept: 'text/html' } })
      assert.is(response.status, 404)
      assert.match(response.headers.get('content-type') ?? '', /^text\/html/)
    }
  }))

test('a page shows what the original showed, and escapes it', () =>
  withApi(async (parts) => {
    const { app, images } = parts
    const { uuid } = await create(app, { ...params, xa: -2.5, yb: 1.25 })
    const { key, size } = await images.put([new Uint8Array(1234)])
    const { seq } = await record(parts, {
      type: 'TaskCompleted',
      fractal: uuid,
      data: {
        ...{ generation: 1, checksum: key, pixelChecksum: key, size, duration: 4.163147, started: 1 },
        ...{ generatedBy: '<script>alert("w")</script>', imageKey: key, kernelVersion: 'test' },
      },
    })
    const { text } = await page(app, `/?min_seq=${seq}`)
    for (const part of [
      `src="/fractal/${uuid}"`,
      '4.163147 seconds',
      '64 × 48 pixels',
      '<td>64</td>',
      'xa = -2.5, xb = 2, ya = -1.5, yb = 1.25',
      '1234 bytes',
      key,
      '&lt;script&gt;alert(&quot;w&quot;)&lt;/script&gt;',
    ]) {
      assert.ok(text.includes(part), part)
    }
    assert.not.match(text, /<script/)
  }))

test.run()
