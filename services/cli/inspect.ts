import { createHash } from 'node:crypto'
import type { Command } from 'commander'
import { addOutputOption, type OutputOption } from './output.ts'
import { inSession, type Session, type Surroundings } from './session.ts'

export function addInspect(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('inspect')
    .summary('show what a picture says of itself')
    .description(
      `Shows what a picture of ours says of itself: which fractal it is of, what was requested, which kernel drew it, the
checksum of its pixels; and the checksum of the file. Whether it says the truth is found out by faafo verify.`,
    )
    .argument('<file>')
  addOutputOption(command)
    .addHelpText(
      'after',
      `
Examples:
  $ faafo inspect fractal.png
  $ faafo inspect fractal.png --output json`,
    )
    .action((file: string, options: OutputOption, self: Command) =>
      inSession(self, surroundings, (session) => inspect(session, file, options)),
    )
}

async function inspect(session: Session, file: string, { output }: OutputOption): Promise<void> {
  const { readPicture } = await import('./picture-file.ts')
  const { png, description } = await readPicture(file)
  const { uuid, params, kernelVersion: kernel_version, pixelChecksum: pixel_checksum } = description
  const checksum = createHash('sha256').update(png).digest('hex')
  if (output === 'json') {
    await session.printJson({ uuid, ...params, kernel_version, pixel_checksum, size: png.length, checksum })
    return
  }
  const { dimensions, tableOf } = await import('./table.ts')
  const { width, height, ...rest } = params
  const rows: [string, string | number][] = [
    ['uuid', uuid ?? '-'],
    ['dimensions', dimensions({ width, height })],
    ...Object.entries(rest),
    ['kernel_version', kernel_version ?? '-'],
    ['pixel_checksum', pixel_checksum ?? '-'],
    ['size', `${png.length} bytes`],
    ['checksum', checksum],
  ]
  await session.print(tableOf(['Parameter', 'Value'], rows))
}
