import { readFile } from 'node:fs/promises'
import process from 'node:process'
import { FaafoError } from '../../events/errors.ts'
import { pause } from '../platform/shutdown.ts'
import { commandLineOf } from './process-identity.ts'

/** How an embedded broker of a version keeps what it acknowledged. `text` is a sentence for people. */
export type BrokerDurability = { syncInterval: string; ok: boolean; text: string }

/**
 * `syncInterval` is a duration as nats-server writes it (`2m`), or `always`, which is what we ask for where the
 * version knows the option (2.10).
 */
export function brokerDurability(version: string, syncInterval = 'always'): BrokerDurability {
  if (!knowsSyncInterval(version))
    return {
      syncInterval: '60s',
      ok: false,
      text: `nats-server ${version} writes to disk every 60 s: a power cut or kernel crash can lose what was acknowledged since; 2.10 or later writes at every append`,
    }
  if (syncInterval === 'always')
    return { syncInterval, ok: true, text: 'every append is on disk before it is acknowledged' }
  return {
    syncInterval,
    ok: false,
    text: `written to disk every ${syncInterval}: a power cut or kernel crash can lose what was acknowledged since`,
  }
}

export type BrokerConfig = {
  version: string
  port: number
  storeDir: string
  pidFile: string
  syncInterval?: string | undefined
}

/** The text of the configuration file of an embedded nats-server. */
export function brokerConfig({ version, port, storeDir, pidFile, syncInterval = 'always' }: BrokerConfig): string {
  // 2.9 does not start with a field that it does not know.
  const sync = knowsSyncInterval(version) ? `\n  sync_interval: ${JSON.stringify(syncInterval)}` : ''
  return `# Written at every start; changes are lost.
server_name: "faafo"
listen: "127.0.0.1:${port}"
pid_file: ${quoted(pidFile)}
max_payload: 1MB
jetstream {
  store_dir: ${quoted(storeDir)}${sync}
}
`
}

/** How to run a nats-server on a configuration file; the file's path on the command line is what identifies it later. */
export const brokerCommand = (program: string, configPath: string): { command: string; args: string[] } => ({
  command: program,
  args: ['-c', configPath],
})

/**
 * Ends a nats-server that a killed parent left behind on the same configuration file, and resolves to its pid once it
 * is gone; null where there was none. A pid that meanwhile belongs to another program is left alone.
 */
export async function endStaleBroker(
  pidFile: string,
  configPath: string,
  { graceMs = 5_000 }: { graceMs?: number } = {},
): Promise<number | null> {
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => ''))
  if (!Number.isInteger(pid) || pid <= 1) return null
  const runs = () => commandLineOf(pid)?.includes(configPath) ?? false
  if (!runs()) return null
  for (const [name, waitMs] of [
    ['SIGTERM', graceMs],
    ['SIGKILL', graceMs],
  ] as const) {
    try {
      process.kill(pid, name)
    } catch {
      // It ended between the look and the signal, or is not ours to signal: the loop below finds out which.
    }
    const deadline = Date.now() + waitMs
    while (runs() && Date.now() < deadline) await pause(20)
    if (!runs()) return pid
  }
  throw new FaafoError(
    'start-failed',
    `cannot start the embedded broker: a nats-server left behind (pid ${pid}) holds its folder and does not end`,
    { details: { pid } },
  )
}

/** nats-server takes backslashes in double quotes for escapes, and JSON's escapes are among its own. */
const quoted = (text: string): string => JSON.stringify(text)

function knowsSyncInterval(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 2 || (major === 2 && minor >= 10)
}
