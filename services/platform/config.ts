import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { z } from 'zod'
import { FaafoError } from '../../events/errors.ts'
import { DEFAULT_COMPUTE_BUDGET } from '../../events/fractal.ts'
import { isBlocked } from './ports.ts'
import { isTarget } from './public-address.ts'

/*
 * The environment, parsed once per process into one frozen value. Nothing but a main.ts and the command line
 * reads the environment; an empty variable counts as one that is not set.
 */

const url = (protocols: string[], example: string) =>
  z.string().refine((text) => protocols.some((p) => text.startsWith(p)), { error: `expected a URL such as ${example}` })
const whole = (min: number, max: number) =>
  z
    .string()
    .transform(Number)
    .refine((n) => Number.isInteger(n) && n >= min && n <= max, {
      error: `expected a whole number from ${min} to ${max}`,
    })

const natsUrl = z
  .string()
  .refine((text) => text.split(',').every((u) => /^(nats|tls|ws|wss):\/\/\S+$/.test(u.trim())), {
    error: 'expected nats://host:4222, or several with commas between',
  })

const schema = z.object({
  NATS_URL: natsUrl.optional(),
  NATS_CREDS: z.string().optional(),
  NATS_NKEY_SEED: z.string().optional(),
  NATS_TLS_CA: z.string().optional(),
  NATS_SERVER_BIN: z.string().optional(),
  NATS_DOWNLOAD_URL: url(['http://', 'https://'], 'https://mirror.example/nats-server').optional(),
  NATS_SYNC_INTERVAL: z.string().optional(),
  NATS_REPLICAS: whole(1, 5).optional(),
  NATS_NAMESPACE: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,32}$/, { error: 'expected one word of letters, digits, - and _, such as staging' })
    .default(''),
  DATABASE_URL: url(['postgres://', 'postgresql://'], 'postgres://user:password@host:5432/faafo').optional(),
  STORAGE_URL: z
    .string()
    .regex(/^(file:(?!\/\/[^/]).+|nats-object:[A-Za-z0-9_-]+)$/, {
      error: 'expected file:/some/folder or nats-object:bucket',
    })
    .optional(),
  DATA_DIR: z.string().default('.data'),
  HOST: z.string().default('127.0.0.1'),
  PORT: whole(0, 65_535)
    .refine((port) => !isBlocked(port), {
      error: 'browsers connect to no such port; expected another one, such as 8080',
    })
    .default(8080),
  AUTH: z.enum(['off'], { error: 'expected off, or nothing' }).optional(),
  COMPUTE_BUDGET: z
    .string()
    .transform(Number)
    .refine((n) => Number.isFinite(n) && n >= 1, { error: 'expected a positive number such as 1e12' })
    .default(DEFAULT_COMPUTE_BUDGET),
  WORKER_NAME: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,100}$/, { error: 'expected letters, digits, dots, - and _' })
    .optional(),
  WORKERS: whole(0, 256).default(1),
  RENDER_THREADS: whole(1, 1024).optional(),
  WEBHOOK_TARGETS: z
    .string()
    .transform((text) => text.split(',').map((part) => part.trim().toLowerCase()))
    .refine((parts) => parts.every(isTarget), {
      error: 'expected host names, addresses and networks with commas between, such as hooks.internal,10.1.0.0/16',
    })
    .default([]),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  LOG_FORMAT: z.enum(['pretty', 'json']).optional(),
})

export type Config = Readonly<{
  broker: Readonly<{
    /** undefined: the embedded one. Several servers with commas between. */
    url: string | undefined
    creds: string | undefined
    nkeySeed: string | undefined
    tlsCa: string | undefined
    program: string | undefined
    downloadUrl: string | undefined
    /** What the operator (or `faafo up`) says about fsync: `always`, an interval such as `2m`, or undefined. */
    syncInterval: string | undefined
    /** Of streams. undefined: 1 for those made here; those that exist stay as they are. */
    replicas: number | undefined
    namespace: string
  }>
  databaseUrl: string | undefined
  storageUrl: string
  /** Absolute. */
  dataDir: string
  host: string
  port: number
  authOff: boolean
  computeBudget: number
  workerName: string
  workers: number
  /** undefined: one for each core. */
  renderThreads: number | undefined
  /** Hosts, addresses and networks (CIDR) that webhooks may be sent to although they are private, or over http. */
  webhookTargets: readonly string[]
  logLevel: string
  logFormat: 'pretty' | 'json' | undefined
}>

/**
 * Throws `invalid-config` that lists every bad variable with what a good value looks like. `needs` names the
 * variables without which this process cannot start.
 */
export function parseConfig(
  env: Readonly<Record<string, string | undefined>>,
  needs: readonly ('NATS_URL' | 'DATABASE_URL')[] = [],
): Config {
  const given = Object.fromEntries(Object.entries(env).filter(([name, value]) => name in schema.shape && value !== ''))
  const parsed = schema.safeParse(given)
  const problems = parsed.success
    ? []
    : parsed.error.issues.map((issue) => {
        const name = String(issue.path[0])
        return `${name}=${shown(name, given[name])}: ${issue.message}`
      })
  for (const name of needs) if (given[name] === undefined) problems.push(`${name} is not set: ${examples[name]}`)
  if (!parsed.success || problems.length > 0) {
    throw new FaafoError('invalid-config', `cannot start: ${problems.join('; ')}`, { details: { problems } })
  }
  const e = parsed.data
  const dataDir = resolve(e.DATA_DIR)
  return Object.freeze({
    broker: Object.freeze({
      url: e.NATS_URL,
      creds: e.NATS_CREDS,
      nkeySeed: e.NATS_NKEY_SEED,
      tlsCa: e.NATS_TLS_CA,
      program: e.NATS_SERVER_BIN,
      downloadUrl: e.NATS_DOWNLOAD_URL,
      syncInterval: e.NATS_SYNC_INTERVAL,
      replicas: e.NATS_REPLICAS,
      namespace: e.NATS_NAMESPACE,
    }),
    databaseUrl: e.DATABASE_URL,
    storageUrl: e.STORAGE_URL ?? `file:${resolve(dataDir, 'images')}`,
    dataDir,
    host: e.HOST,
    port: e.PORT,
    authOff: e.AUTH === 'off',
    computeBudget: e.COMPUTE_BUDGET,
    workerName: e.WORKER_NAME ?? hostname(),
    workers: e.WORKERS,
    renderThreads: e.RENDER_THREADS,
    webhookTargets: e.WEBHOOK_TARGETS,
    logLevel: e.LOG_LEVEL,
    logFormat: e.LOG_FORMAT,
  })
}

const examples = {
  NATS_URL: 'expected nats://host:4222',
  DATABASE_URL: 'expected postgres://user:password@host:5432/faafo',
} as const

/** A value as it may be shown: passwords in URLs and seeds are not. */
const shown = (name: string, value: string | undefined) =>
  name === 'NATS_NKEY_SEED' ? '…' : withoutPassword(value ?? '')

/** A URL with its password, or a broker's token, replaced, for messages and logs. */
export const withoutPassword = (text: string): string =>
  text.replace(/(:\/\/[^:@/]*):[^@/]*@/g, '$1:…@').replace(/\b((?:nats|tls|wss?):\/\/)[^:@/]+@/g, '$1…@')

/** Whether only this machine can reach a server that listens on `host`. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
