import type { Buffer } from 'node:buffer'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decodePng } from '../../services/kernel/decode.ts'
import { compressRows, encodePng, type Texts, textsOf } from '../../services/kernel/png.ts'
import { renderPng } from '../../services/kernel/render.ts'
import { collect } from '../support/collect.ts'
import { juliaRequest } from '../support/julia-request.ts'
import { withTempDir } from '../support/temp.ts'
import { runHere } from './run-program.ts'

/* A small picture as a worker makes it, and how commands are run on it. */

export const uuid = '0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11'
export const params = juliaRequest(40, 30, 60)
export const { bytes: picture, result: drawn } = await collect(renderPng({ uuid, params }))

/** These pixels, in truecolour, with texts before them. */
async function encode(width: number, height: number, rgb: Uint8Array, texts: Texts): Promise<Buffer> {
  return (await collect(encodePng({ width, height, palette: null, texts }, [compressRows(3 * width, rgb)]))).bytes
}

/** `picture` written anew, with these changes of its pixels and texts. */
export async function rewritten(texts: Texts = {}, change: (rgb: Uint8Array) => void = () => {}): Promise<Buffer> {
  const { width, height, rgb } = decodePng(picture)
  change(rgb)
  return encode(width, height, rgb, { ...textsOf(picture), ...texts })
}

/** Runs a command with a file of these bytes as its last argument. */
export const runWith = (bytes: Uint8Array, ...args: string[]) =>
  withTempDir(async (dir) => {
    const file = join(dir, 'a.png')
    await writeFile(file, bytes)
    const { code, stdout, stderr } = await runHere([...args, file])
    return { code, stdout: stdout.replaceAll(file, 'a.png'), stderr: stderr.replaceAll(file, 'a.png') }
  })

/** What is said on standard error while it is drawn. */
export const progress = 'rendering: 100 %, 30 of 30 rows\n'
