import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decodePng } from '../../services/kernel/decode.ts'
import { root } from '../support/project.ts'
import { withSystem } from '../support/system.ts'
import { until } from '../support/until.ts'

type Vector = { rgb_sha256: string; first_row_rgb_sha256: string; original_seconds: number; width: number }
type Listed = { uuid: string; status: string; url: string | null }

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

test('every request of the original yields the original pixels, and the system stops cleanly', () =>
  withSystem(async ({ apiUrl, stop }) => {
    const vectors: Vector[] = JSON.parse(await readFile(join(root, 'test', 'golden', 'julia.json'), 'utf8'))
    assert.is(vectors.length, 14)
    const expected = new Map<string, Vector>()
    for (const vector of vectors) {
      const { rgb_sha256: _, first_row_rgb_sha256: __, original_seconds: ___, ...request } = vector
      const created = await fetch(`${apiUrl}/v1/fractal`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(request),
      })
      assert.is(created.status, 201, await created.clone().text())
      const { uuid } = (await created.json()) as { uuid: string }
      expected.set(uuid, vector)
    }

    let listed: Listed[] = []
    await until(
      async () => {
        const answer = await fetch(`${apiUrl}/v1/fractal?results_per_page=-1`)
        listed = ((await answer.json()) as { objects: Listed[] }).objects
        return listed.filter(({ status }) => status === 'completed').length === vectors.length
      },
      { what: () => `all are completed: ${JSON.stringify(listed)}`, withinMs: 60_000, everyMs: 100 },
    )
    for (const { uuid, url } of listed) {
      const answer = await fetch(`${apiUrl}${url}`)
      assert.is(answer.status, 200)
      const { rgb, width } = decodePng(new Uint8Array(await answer.arrayBuffer()))
      assert.is(sha256(rgb), expected.get(uuid)?.rgb_sha256)
      assert.is(sha256(rgb.subarray(0, width * 3)), expected.get(uuid)?.first_row_rgb_sha256)
    }
    assert.is((await stop()).code, 0)
  }))

test.run()
