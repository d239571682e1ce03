import { Buffer } from 'node:buffer'
import { createHash, randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { complete, create, json, keptLog, type Parts, post, smallPng, start, withApi } from './with-api.ts'

/** A completed fractal, in the table already. */
async function completed(parts: Parts, png = smallPng) {
  const { uuid } = await create(parts.app)
  const { seq } = await complete(parts, uuid, png)
  await parts.app.request(`/v1/fractal?min_seq=${seq}`)
  const checksum = createHash('sha256').update(png).digest('hex')
  return {
    uuid,
    checksum,
    path: `/fractal/${uuid}`,
    file: join(parts.imagesDir, checksum.slice(0, 2), `${checksum}.png`),
  }
}

test('an image is served with its checksum as tag, for ever, under both addresses', () =>
  withApi(async (parts) => {
    const { app } = parts
    const { uuid, checksum, path } = await completed(parts)
    for (const address of [path, `/v1/fractal/${uuid.toUpperCase()}/image`]) {
      const response = await app.request(address)
      assert.is(response.status, 200)
      assert.is(response.headers.get('content-type'), 'image/png')
      assert.is(response.headers.get('content-length'), String(smallPng.length))
      assert.is(response.headers.get('etag'), `"${checksum}"`)
      assert.is(response.headers.get('cache-control'), 'public, max-age=31536000, immutable')
      assert.equal(new Uint8Array(await response.arrayBuffer()), smallPng)

      const head = await app.request(address, { method: 'HEAD' })
      assert.is(head.status, 200)
      assert.is(await head.text(), '')
      for (const name of ['content-type', 'content-length', 'etag', 'cache-control']) {
        assert.is(head.headers.get(name), response.headers.get(name))
      }
      for (const tag of [`"${checksum}"`, `W/"${checksum}"`, `"x", "${checksum}"`, '*']) {
        const same = await app.request(address, { headers: { 'if-none-match': tag } })
        assert.is(same.status, 304)
        assert.is(same.headers.get('etag'), `"${checksum}"`)
        assert.is(await same.text(), '')
      }
      assert.is((await app.request(address, { headers: { 'if-none-match': '"x"' } })).status, 200)
    }
    assert.is((await json(app.request(`/v1/fractal/${uuid}`))).url, path)
  }))

test('before it is finished an image is not ready', () =>
  withApi(async (parts) => {
    const { app } = parts
    const { uuid } = await create(app)
    const check = async (text: RegExp, retryAfter: string | null = '1') => {
      for (const method of ['GET', 'HEAD']) {
        const response = await app.request(`/fractal/${uuid}`, { method })
        assert.is(response.status, 404)
        assert.is(response.headers.get('retry-after'), retryAfter)
        assert.is(response.headers.get('content-type'), 'application/problem+json')
        if (method === 'HEAD') continue
        const body = await json(response)
        assert.is(body.type, '/problems/not-ready')
        assert.match(body.detail, text)
      }
    }
    await check(/requested/)
    const { seq } = await start(parts, uuid)
    await app.request(`/v1/fractal?min_seq=${seq}`)
    await check(/rendering/)
    await post(app, `/v1/fractal/${uuid}/cancel`)
    await check(/cancelled; retry/, null)
    await app.request(`/v1/fractal/${uuid}`, { method: 'DELETE' })
    assert.is((await json(app.request(`/fractal/${uuid}`))).code, 'not-found')
  }))

test('a lost or damaged image is a problem that names the way out, never wrong bytes', () =>
  withApi(async (parts) => {
    const { another, images } = parts
    const { uuid, path, file, checksum } = await completed(parts)
    const check = async (code: string) => {
      const response = await app.request(path)
      assert.is(response.status, 500)
      assert.is(response.headers.get('etag'), null)
      assert.is.not(response.headers.get('cache-control'), 'public, max-age=31536000, immutable')
      const body = await json(response)
      assert.is(body.code, code)
      assert.match(body.detail, `POST /v1/fractal/${uuid}/retry`)
    }
    const { logger, lines } = keptLog()
    const app = another({ logger })
    await writeFile(
      file,
      Uint8Array.from(smallPng, (byte, i) => (i === 40 ? byte ^ 1 : byte)),
    )
    await check('image-damaged')
    await writeFile(file, smallPng.subarray(0, 100))
    await check('image-damaged')
    await images.remove(checksum)
    await check('image-lost')
    const told = lines().map(({ level, code, fractal, err }) => [level, code, fractal, err])
    assert.equal(told, [...['image-damaged', 'image-damaged', 'image-lost'].map((code) => [40, code, uuid, undefined])])
    assert.is((await app.request(path, { method: 'HEAD' })).status, 500)
    assert.is((await post(app, `/v1/fractal/${uuid}/retry`)).status, 200)
    const { seq } = await complete(parts, uuid, smallPng, 2)
    const mended = await app.request(`${path}?min_seq=${seq}`)
    assert.is(mended.status, 200)
    assert.equal(new Uint8Array(await mended.arrayBuffer()), smallPng)
  }))

test('a large image is streamed, and breaks off where its bytes are damaged', () =>
  withApi(async (parts) => {
    const { app } = parts
    const large = new Uint8Array(randomBytes(6 * 1024 * 1024))
    const { path, file } = await completed(parts, large)
    const response = await app.request(path)
    assert.is(response.headers.get('content-length'), String(large.length))
    assert.ok(Buffer.from(await response.arrayBuffer()).equals(large))
    large[3_000_000] = (large[3_000_000] ?? 0) ^ 1
    await writeFile(file, large)
    const damaged = await app.request(path)
    assert.is(damaged.status, 200)
    await damaged.arrayBuffer().then(
      () => assert.unreachable(),
      (error) => assert.is(error.code, 'image-damaged'),
    )
  }))

test.run()
