import { type Command, Option } from 'commander'

export type OutputOption = { output: 'table' | 'json' }

export const addOutputOption = (command: Command): Command =>
  command.addOption(
    new Option('--output <format>', "how results are printed; json is the api's own objects")
      .choices(['table', 'json'])
      .default('table'),
  )
