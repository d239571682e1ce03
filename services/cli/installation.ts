import { FaafoError } from '../../events/errors.ts'
import { type Config, parseConfig } from '../platform/config.ts'
import { readRuntime } from '../up/data-dir.ts'
import type { Surroundings } from './session.ts'

/** Both URLs throw `invalid-config` where nothing says them. */
export type Installation = { config: Config; brokerUrl(): string; databaseUrl(): string }

/**
 * What an operator's command works on: NATS_URL and DATABASE_URL or, where they are not set, what a running
 * `faafo up` recorded in the data folder. Throws `invalid-config`.
 */
export async function findInstallation(env: Surroundings['env']): Promise<Installation> {
  const config = parseConfig(env)
  const runtime = await readRuntime(config.dataDir)
  const required = (name: string, url: string | undefined): string => {
    if (url !== undefined) return url
    throw new FaafoError(
      'invalid-config',
      `cannot tell which installation is meant: set ${name}, or DATA_DIR to the data folder of a faafo up that runs (nothing runs on ${config.dataDir})`,
    )
  }
  return {
    config,
    brokerUrl: () => required('NATS_URL', config.broker.url ?? runtime?.natsUrl),
    databaseUrl: () => required('DATABASE_URL', config.databaseUrl ?? runtime?.databaseUrl),
  }
}
