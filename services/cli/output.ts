import { type Command, Option } from 'commander'
import { messageOf } from '../../events/errors.ts'

export type OutputOption = { output: 'table' | 'json' }

export const addOutputOption = (command: Command): Command =>
  command.addOption(
    new Option('--output <format>', 'how results are printed').choices(['table', 'json']).default('table'),
  )

/** What a failed system call says, without its code, its name and the path. */
export const reasonOf = (error: unknown): string =>
  messageOf(error)
    .replace(/^E[A-Z0-9]+: /, '')
    .replace(/, \w+( '.*)?$/, '')
