import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decodePng } from '../../services/kernel/decode.ts'
import { root, withSystem } from '../support/system.ts'
import { until } from '../support/until.ts'

type Vector = { rgb_sha256: string; first_row_rgb_sha256: string; original_seconds: number; width: number }

test('every request of the original yields the original pixels', () =>
  withSystem(async ({ apiUrl }) => {
    const vectors: Vector[] = JSON.parse(await readFile(join(root, 'test', 'golden', 'julia.json'), 'utf8'))
    await Promise.all(
      vectors.map(async ({ rgb_sha256, first_row_rgb_sha256, original_seconds: _, ...request }) => {
        const created = await fetch(`${apiUrl}/v1/fractal`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(request),
        })
        assert.is(created.status, 201, await created.clone().text())
        const { uuid } = (await created.json()) as { uuid: string }
        let png = new Uint8Array()
        await until(
          async () => {
            const answer = await fetch(`${apiUrl}/fractal/${uuid}`)
            png = new Uint8Array(await answer.arrayBuffer())
            return answer.status === 200
          },
          { what: `${uuid} is rendered`, withinMs: 60_000, everyMs: 100 },
        )
        const { rgb, width } = decodePng(png)
        assert.is(createHash('sha256').update(rgb).digest('hex'), rgb_sha256)
        assert.is(createHash('sha256').update(rgb.subarray(0, width * 3)).digest('hex'), first_row_rgb_sha256)
      }),
    )
    assert.is(vectors.length, 14)
  }))

test.run()
