import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { FaafoError } from '../../events/errors.ts'
import type { FractalObject } from './client.ts'
import { writeOutput } from './output-file.ts'
import { about, advising, inSession, parseUuid, type Session, type Surroundings, usageError } from './session.ts'

/** Images of more pixels are not decoded unasked; decoding takes about 6 bytes of memory a pixel. */
const UNASKED_PIXELS = 2 ** 26

type Options = { outputFile?: string; checkPixels?: boolean }

export function addGet(program: Command, surroundings: Surroundings): void {
  program
    .command('get')
    .summary('download the image of a fractal')
    .description(
      `Downloads the image of a fractal into <uuid>.png and checks it: the file's SHA-256 against the checksum, that of its
pixels against the pixel checksum. A file stands under its name only once it is whole and checked.
Checking the pixels takes about 6 bytes of memory for each: above ${UNASKED_PIXELS} pixels it is done only when asked for.`,
    )
    .argument('<uuid>')
    .option('-o, --output-file <file>', 'where to write to; - for standard output (the pixels are not checked then)')
    .option('--check-pixels', 'check the pixels, however many there are')
    .option('--no-check-pixels', "check the file's checksum only")
    .addHelpText(
      'after',
      `
Examples:
  $ faafo get 0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11
  $ faafo get 0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11 -o fractal.png
  $ faafo get 0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11 -o - | display`,
    )
    .action((uuid: string, options: Options, self: Command) =>
      inSession(self, surroundings, (session) => get(session, parseUuid(uuid), options)),
    )
}

async function get(session: Session, uuid: string, { outputFile, checkPixels }: Options): Promise<void> {
  const { client, signal } = session
  if (outputFile === '') throw usageError("cannot use --output-file '': expected a file, or - for standard output")
  if (outputFile === '-' && checkPixels) {
    throw usageError(
      'cannot use --check-pixels with standard output: expected -o <file>, whose pixels can be read again',
    )
  }
  const fractal = await about(uuid, client.get(uuid, { signal }))
  if (fractal.status !== 'completed') {
    const reason = fractal.error ? `${fractal.status} (${fractal.error.message})` : fractal.status
    throw new FaafoError('not-ready', `cannot get the image of fractal '${uuid}': it is ${reason}`)
  }
  const { stream } = await about(uuid, client.image(uuid, { signal })).catch((error) => {
    throw advising(`faafo retry ${uuid}`, error)
  })
  const pieces = verified(stream, fractal, session)
  if (outputFile === '-') {
    for await (const piece of pieces) await session.print(piece)
    return
  }
  const file = outputFile ?? `${uuid}.png`
  await writeOutput(file, pieces, async (draft) => {
    if (wantsPixels(fractal, checkPixels, session)) await checkPixelsOf(draft, fractal)
  })
  session.say(`wrote ${file} (${fractal.size} bytes)`)
}

/** Passes the pieces on; throws `image-damaged` after the last where the whole does not have the checksum. */
async function* verified(stream: ReadableStream<Uint8Array>, fractal: FractalObject, { signal }: Session) {
  const hash = createHash('sha256')
  let bytes = 0
  const action = `get the image of fractal '${fractal.uuid}'`
  try {
    for await (const piece of stream) {
      hash.update(piece)
      bytes += piece.length
      yield piece
    }
  } catch (error) {
    if (signal.aborted || error instanceof FaafoError) throw error
    throw new FaafoError('unreachable', `cannot ${action}: the connection broke after ${bytes} bytes`, { cause: error })
  }
  if (hash.digest('hex') !== fractal.checksum) {
    throw new FaafoError(
      'image-damaged',
      `cannot ${action}: the ${bytes} bytes received do not have the checksum ${fractal.checksum}; try again`,
    )
  }
}

function wantsPixels({ width, height }: FractalObject, asked: boolean | undefined, session: Session): boolean {
  if (asked !== undefined) return asked
  const few = width * height <= UNASKED_PIXELS
  if (!few) session.say(`its ${width * height} pixels are not checked (--check-pixels does), only the file's checksum`)
  return few
}

async function checkPixelsOf(file: string, { uuid, pixel_checksum }: FractalObject): Promise<void> {
  const { pixelChecksumOf } = await import('../kernel/decode.ts')
  if (pixelChecksumOf(await readFile(file)) !== pixel_checksum) {
    throw new FaafoError(
      'image-damaged',
      `cannot get the image of fractal '${uuid}': its pixels do not have the checksum ${pixel_checksum}`,
    )
  }
}
