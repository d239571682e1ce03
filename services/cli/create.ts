import { randomUUID } from 'node:crypto'
import { type Command, Option } from 'commander'
import { isFaafoError } from '../../events/errors.ts'
import type { FractalRequest } from '../../events/fractal.ts'
import type { FractalObject } from './client.ts'
import { addOutputOption, type OutputOption } from './output.ts'
import { type Parameter, parameters } from './parameters.ts'
import type { Plan } from './random-request.ts'
import { advising, inSession, parseUuid, type Session, type Surroundings, usageError } from './session.ts'

/** Requests that are on their way at the same time. */
const LANES = 8

type Options = OutputOption & { wait?: boolean; like?: string; dryRun?: boolean } & OptionValues

export type OptionValues = Record<string, string | boolean | undefined>

/** The options that say what is drawn at random and what is not, each but those of `without`. */
export function addParameterOptions(command: Command, ...without: Parameter[]): Command {
  const offered = Object.entries(parameters).filter(([name]) => !without.includes(name as Parameter))
  for (const [name, { what, min, max }] of offered) {
    command.option(`--${name} <n>`, `${what} (default: random, ${min} to ${max})`)
  }
  command
    .option('--cx <n>', 'real part of the Julia constant; with --cy (default: one that makes a picture)')
    .option('--cy <n>', 'imaginary part of the Julia constant; with --cx')
  for (const [name] of offered) {
    command.option(`--min-${name} <n>`, `lower bound where ${name} is random`)
    command.option(`--max-${name} <n>`, `upper bound where ${name} is random`)
  }
  return command
}

export function addCreate(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('create')
    .summary('request fractals')
    .description(
      'Requests fractals. What is not given is drawn at random for each of them, between --min-X and --max-X.\nPrints the uuids; with --wait the table of the fractals once they are finished.',
    )
  addParameterOptions(command)
    .option('--like <file>', 'request what this picture of ours shows, but for what else is given')
    .option('--uuid <uuid>', 'request one fractal of this uuid; doing so again changes nothing')
    .option('--wait', 'wait until all are finished; exit code 1 where one failed')
    .addOption(new Option('--dry-run', 'create nothing: print how much work it would be').conflicts('wait'))
  addOutputOption(command)
    .addHelpText(
      'after',
      `
Examples:
  $ faafo create                                    1 to 10 random fractals
  $ faafo create --tasks 3 --wait                   three, with progress, until they are finished
  $ faafo create --tasks 3 --dry-run                how much work three would be
  $ faafo create --height 9999 --width 9999 --tasks 5
  $ faafo create --tasks 1 --xa -1.5 --xb 1.5 --cx -0.8 --cy 0.156
  $ faafo create --min-iterations 1000 --max-iterations 5000
  $ faafo create --like fractal.png --width 4096 --height 4096`,
    )
    .action((options: Options, self: Command) =>
      inSession(self, surroundings, (session) => create(session, options), { changes: true }),
    )
}

async function create(session: Session, options: Options): Promise<void> {
  const { drawRequest, drawTasks, planOf } = await import('./random-request.ts')
  const { uuid: given, like, ...texts } = optionTexts(options)
  const uuid = given === undefined ? undefined : parseUuid(given)
  const model = like === undefined ? {} : withoutGiven(await parametersLike(like), texts)
  const plan = orUsageError(() => planOf({ ...model, ...(uuid && { tasks: '1' }), ...texts }))
  const tasks = drawTasks(plan, Math.random)
  if (uuid && tasks > 1) throw usageError(`cannot create ${tasks} fractals of one --uuid: expected --tasks 1`)
  if (options.dryRun) {
    const { estimateAll } = await import('./dry-run.ts')
    return estimateAll(
      session,
      options,
      Array.from({ length: tasks }, () => drawRequest(plan, Math.random)),
    )
  }
  session.say(`generating ${tasks} task(s)`)
  const requests = Array.from({ length: tasks }, () => ({
    ...drawRequest(plan, Math.random),
    uuid: uuid ?? randomUUID(),
  }))
  const known = new Map<string, FractalObject>()
  const inOrder = () => requests.flatMap((request) => known.get(request.uuid) ?? [])
  try {
    await requestAll(session, requests, async (fractal) => {
      known.set(fractal.uuid, fractal)
      if (!options.wait && options.output !== 'json') await session.print(`${fractal.uuid}\n`)
    })
    if (options.wait && known.size > 0) await waitForAll(session, known)
  } catch (error) {
    // what was requested is rendered all the same
    const fractals = inOrder()
    if (options.output === 'json' && fractals.length > 0) await session.printJson(fractals)
    else if (options.wait) await session.print(fractals.map((fractal) => `${fractal.uuid}\n`).join(''))
    throw error
  }
  if (options.output === 'json') await session.printJson(inOrder())
  else if (options.wait && known.size > 0) await session.print((await import('./table.ts')).fractalsTable(inOrder()))
}

type Request = FractalRequest & { uuid: string }

/**
 * Sends them all, in the order given but several at a time; those that are refused are reported. What ends it is thrown
 * only once nothing is on its way any more.
 */
async function requestAll(
  session: Session,
  requests: readonly Request[],
  onCreated: (fractal: FractalObject) => Promise<void>,
): Promise<void> {
  const { client, signal } = session
  const queue = requests.values()
  const lane = async () => {
    for (const request of queue) {
      if (signal.aborted) return
      try {
        const fractal = await client.request(request, { signal })
        session.detail(
          `requested ${fractal.uuid}: ${request.width} x ${request.height}, ${request.iterations} iterations`,
        )
        await onCreated(fractal)
      } catch (error) {
        if (signal.aborted) session.say(`interrupted: fractal '${request.uuid}' may have been requested or not`)
        session.report(advising(commandOf(request), error))
      }
    }
  }
  const ends = await Promise.allSettled(Array.from({ length: LANES }, lane))
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}

/** The very same request as a command. */
const commandOf = ({ uuid, ...request }: Request): string =>
  [`faafo create --uuid ${uuid}`, ...Object.entries(request).map(([name, value]) => `--${name} ${value}`)].join(' ')

/** Keeps `known` up to date until all of them are finished; deleted ones leave it. */
async function waitForAll(session: Session, known: Map<string, FractalObject>): Promise<void> {
  const { client, env, signal, stderr } = session
  const removed: string[] = []
  const { createProgressReport, summaryOf } = await import('./progress-report.ts')
  const report = createProgressReport(stderr, env.TERM)
  try {
    for await (const sighting of client.watch(known.keys(), { signal })) {
      for (const fractal of sighting.objects) known.set(fractal.uuid, fractal)
      for (const uuid of sighting.removed) known.delete(uuid)
      removed.push(...sighting.removed)
      report.update(summaryOf([...known.values()], removed.length))
    }
  } finally {
    report.stop()
    if (signal.aborted) session.say('stopped waiting; what was requested is rendered all the same')
  }
  for (const uuid of removed) session.report(new Error(`fractal '${uuid}' was deleted`))
  for (const { uuid, status, error } of known.values()) {
    if (status === 'completed') continue
    session.report(new Error(`fractal '${uuid}' ${status}${error ? `: ${error.message} (${error.code})` : ''}`))
  }
}

/** One task of what the picture in a file shows, as option values. */
async function parametersLike(file: string): Promise<Record<string, string>> {
  const { readPicture, requestIn } = await import('./picture-file.ts')
  const params = requestIn(await readPicture(file))
  return Object.fromEntries(Object.entries({ ...params, tasks: 1 }).map(([name, value]) => [name, String(value)]))
}

/** Those of `model` for which `given` has neither a value nor a bound. */
const withoutGiven = (model: Record<string, string>, given: Record<string, string>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(model).filter(
      ([name]) => ![name, `min-${name}`, `max-${name}`].some((option) => Object.hasOwn(given, option)),
    ),
  )

/** Commander's camel case back to the names as they are typed. */
export function optionTexts(options: OptionValues): Record<string, string> {
  const texts: Record<string, string> = {}
  for (const [name, value] of Object.entries(options)) {
    if (typeof value === 'string') texts[name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)] = value
  }
  return texts
}

/** A plan whose wrong values are a wrong command line. */
export function orUsageError(plan: () => Plan): Plan {
  try {
    return plan()
  } catch (error) {
    throw isFaafoError(error, 'invalid-request') ? usageError(error.message) : error
  }
}
