import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { FractalParams } from '../../events/fractal.ts'
import { renderPng } from '../../services/kernel/render.ts'
import { withPage } from '../support/chromium.ts'
import { collect } from '../support/collect.ts'
import { root } from '../support/project.ts'

type Vector = FractalParams & { rgb_sha256: string }
const vectors: Vector[] = JSON.parse(readFileSync(join(root, 'test/golden/julia.json'), 'utf8'))

/** Runs the body of an async function in a browser and resolves to what it returns; `/dist` is the build, and `files` are at hand by path. */
async function inBrowser(body: string, files: Record<string, Uint8Array> = {}): Promise<unknown> {
  const page = `<!doctype html><title>test</title><script type="module">
    const hash = async (bytes) =>
      [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))].map((b) => b.toString(16).padStart(2, '0')).join('')
    const result = await (async () => { ${body} })().catch((error) => String(error))
    await fetch('/result', { method: 'POST', body: JSON.stringify(result) })
  </script>`
  let told = (_: unknown) => {}
  const result = new Promise((done) => {
    told = done
  })
  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname
    if (request.method === 'POST') {
      let text = ''
      for await (const chunk of request) text += chunk
      response.end()
      told(JSON.parse(text))
    } else if (path === '/') {
      response.setHeader('content-type', 'text/html').end(page)
    } else if (files[path]) {
      response.end(files[path])
    } else {
      const text = await readFile(join(root, path)).catch(() => null)
      response.statusCode = text === null ? 404 : 200
      response.setHeader('content-type', 'text/javascript').end(text)
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const address = server.address()
    assert.ok(address !== null && typeof address === 'object')
    return await withPage(`http://127.0.0.1:${address.port}/`, () => result)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

test('the golden pictures come out of the same module in a browser', async () => {
  const hashes = await inBrowser(`
    const { paint, simdDrawing } = await import('/dist/services/kernel/simd-drawing.js')
    const hashes = []
    for (const vector of ${JSON.stringify(vectors)}) {
      const { width, height } = vector
      const indices = new Uint8Array(width * height)
      const drawing = simdDrawing(vector)
      for (let y = 0; y < height; y += drawing.tileRows) {
        drawing.begin(y, Math.min(y + drawing.tileRows, height))
        while (drawing.run(1e7) <= 0);
        indices.set(drawing.indices(), y * width)
      }
      drawing.close()
      hashes.push(await hash(await new Blob(Array.from(paint(indices), (part) => part.slice())).arrayBuffer()))
    }
    return hashes`)
  assert.equal(
    hashes,
    vectors.map((vector) => vector.rgb_sha256),
  )
})

test("a browser's decoder reads our files, of one band and of many", async () => {
  const some = vectors.filter(({ width, height }) => [64, 649, 1000].includes(width) && height > 40)
  const files: Record<string, Uint8Array> = {}
  for (const [k, params] of some.entries()) {
    files[`/${k}.png`] = (await collect(renderPng({ uuid: null, params }))).bytes
  }
  const hashes = await inBrowser(
    `
    const hashes = []
    for (const path of ${JSON.stringify(Object.keys(files))}) {
      const image = await createImageBitmap(await (await fetch(path)).blob())
      const context = new OffscreenCanvas(image.width, image.height).getContext('2d')
      context.drawImage(image, 0, 0)
      const { data } = context.getImageData(0, 0, image.width, image.height)
      hashes.push(await hash(Uint8Array.from({ length: data.length / 4 * 3 }, (_, k) => data[Math.floor(k / 3) * 4 + k % 3])))
    }
    return hashes`,
    files,
  )
  assert.equal(
    hashes,
    some.map((vector) => vector.rgb_sha256),
  )
  assert.is(some.length, 3)
})

test.run()
