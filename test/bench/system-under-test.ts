import { spawnSync } from 'node:child_process'
import { brokerProgram } from '../support/broker.ts'
import { juliaRequest } from '../support/julia-request.ts'
import { type System, withSystem } from '../support/system.ts'

/** How often the broker writes to disk: its own default, and what `faafo up` asks for. */
const fsyncModes = ['2m', 'always'] as const

/** Runs `measure` on a fresh system in each fsync mode; `label` names broker version and mode. */
export async function inEachFsyncMode(
  env: Record<string, string>,
  measure: (system: System, label: string) => Promise<void>,
): Promise<void> {
  const version = brokerVersion(await brokerProgram())
  for (const mode of fsyncModes) {
    if (mode === 'always' && version.startsWith('2.9.')) continue // it does not know the option
    await withSystem((system) => measure(system, `nats-server ${version}, fsync ${mode}`), {
      env: { ...env, NATS_SYNC_INTERVAL: mode, LOG_LEVEL: 'warn' },
      optimized: true,
    })
  }
}

export const brokerVersion = (program: string): string =>
  spawnSync(program, ['--version'], { encoding: 'utf8' })
    .stdout.replace(/^.*v(?=\d)/, '')
    .trim()

export const request = (side: number) => juliaRequest(side, side, 128)
