import { Command, CommanderError } from 'commander'
import { addBench } from './bench.ts'
import { addBulk } from './bulk.ts'
import { addCreate } from './create.ts'
import { addEvents } from './events.ts'
import { addGet } from './get.ts'
import { addInspect } from './inspect.ts'
import { addLifecycle } from './lifecycle.ts'
import { addList } from './list.ts'
import { addRender } from './render.ts'
import { addReplay } from './replay.ts'
import { addServices } from './services.ts'
import { DEFAULT_ENDPOINT, errorText, exitCodeOf, helpHint, type Surroundings } from './session.ts'
import { addShow } from './show.ts'
import { addStatus } from './status.ts'
import { addVerify } from './verify.ts'
import { addWebhook } from './webhook.ts'

/** Runs the command line with these arguments, the program's name apart; resolves to the exit code. */
export async function runProgram(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const asksVersion = args.includes('--version') || args.includes('-V')
  const version = asksVersion ? (await import('../platform/identity.ts')).VERSION : ''
  const program = createProgram(surroundings, version)
  let running = program
  program.hook('preAction', (_, command) => {
    running = command
  })
  try {
    await program.parseAsync(args, { from: 'user' })
    return 0
  } catch (error) {
    // commander has said its own errors itself
    const said = error instanceof CommanderError && (error.code.startsWith('commander.') || error.message === '')
    if (!said) surroundings.stderr.write(`${errorText(error, args.includes('--debug'), running)}\n`)
    return exitCodeOf(error)
  }
}

/**
 * Every command. What one needs beyond this file is imported when it runs: the help and the reading commands must
 * start fast.
 */
function createProgram(surroundings: Surroundings, version: string): Command {
  const { stdout, stderr } = surroundings
  const program = new Command('faafo')
    .description('Fractal images on request: rendered by a crowd of workers, nothing ever lost.')
    .version(version, '-V, --version', 'print the version')
    .option('--endpoint-url <url>', `where the api is (default: FAAFO_ENDPOINT_URL, else ${DEFAULT_ENDPOINT})`)
    .option('--verbose', 'say every request to the api, and how it was answered')
    .option('--debug', 'the same with whole URLs, and errors with their stack')
    .helpOption('-h, --help', 'print help')
    .helpCommand(false)
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
    })
    .addHelpText(
      'after',
      `
Examples:
  $ faafo up                        everything on this machine; Ctrl-C stops it
  $ faafo create --tasks 3 --wait   request three random fractals and wait for them
  $ faafo list
  $ faafo show UUID
  $ faafo get UUID

Environment: FAAFO_ENDPOINT_URL, FAAFO_API_KEY (sent as bearer token).
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 the api, the broker or the database cannot be reached.`,
    )

  program.commandsGroup('Fractals:')
  addCreate(program, surroundings)
  addList(program, surroundings)
  addShow(program, surroundings)
  addGet(program, surroundings)
  addRender(program, surroundings)
  addInspect(program, surroundings)
  addVerify(program, surroundings)
  addLifecycle(program, surroundings)
  addBulk(program, surroundings)
  addEvents(program, surroundings)
  addWebhook(program, surroundings)
  addStatus(program, surroundings)
  addBench(program, surroundings)
  program.commandsGroup('Services:')
  addServices(program, surroundings)
  addReplay(program, surroundings)
  program.commandsGroup('Commands:')
  addHelp(program)
  pointErrorsToHelp(program)
  return program
}

/** An error of commander's is one line that names the help of the command that it came from. */
function pointErrorsToHelp(command: Command): void {
  command.configureOutput({
    outputError(text, write) {
      const line = text
        .trim()
        .replace(/^error: /, '')
        .replace(/\.$/, '')
      write(`faafo: ${line.replace(/\s*\n\s*/g, ' ')}${helpHint(command)}\n`)
    },
  })
  for (const one of command.commands) pointErrorsToHelp(one)
}

/** In place of commander's own, which prints the whole help where it does not know the command. */
function addHelp(program: Command): void {
  program
    .command('help')
    .description('print help for a command')
    .argument('[command...]')
    .action((names: string[]) => {
      const found = names.reduce<Command>(
        (within, name) =>
          within.commands.find((one) => one.name() === name) ?? program.error(`unknown command '${name}'`),
        program,
      )
      found.help()
    })
}
