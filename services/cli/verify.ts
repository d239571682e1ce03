import type { Command } from 'commander'
import { inSession, type Surroundings } from './session.ts'

export function addVerify(program: Command, surroundings: Surroundings): void {
  program
    .command('verify')
    .summary('draw a picture again and compare')
    .description(
      `Draws on this machine what a picture of ours says that it shows, and compares every pixel, and their checksum.
Exit code 1 where they differ, with the place. A file that is not the same byte for byte is decoded to compare it, which
takes about 10 bytes of memory a pixel.`,
    )
    .argument('<file>')
    .addHelpText(
      'after',
      `
Example:
  $ faafo verify fractal.png`,
    )
    .action((file: string, _: unknown, self: Command) =>
      inSession(self, surroundings, async (session) => (await import('./reproduce.ts')).reproduce(session, file)),
    )
}
