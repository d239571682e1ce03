import { execFile, spawn } from 'node:child_process'
import process from 'node:process'
import { promisify } from 'node:util'
import { withTempDir } from './temp.ts'

const run = promisify(execFile)
const NAMES = ['chromium', 'chromium-browser', 'google-chrome']
const FLAGS = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-dev-shm-usage'],
]

/** CHROMIUM_BIN, else a Chromium on the PATH, else Debian's package, which root may install. */
async function chromiumProgram(): Promise<string> {
  const installed = process.env.CHROMIUM_BIN ?? (await firstThatRuns(NAMES))
  if (installed) return installed
  const apt = (...args: string[]) => run('apt-get', [...args, '-qq'], { maxBuffer: 2 ** 26 })
  try {
    const install = () => apt('install', '--yes', '--no-install-recommends', 'chromium')
    await install().catch(async () => {
      await apt('update')
      await install()
    })
  } catch (error) {
    throw new Error('there is no Chromium: install one, or set CHROMIUM_BIN to its program', { cause: error })
  }
  return 'chromium'
}

async function firstThatRuns(programs: string[]): Promise<string | undefined> {
  for (const program of programs) {
    const runs = await run(program, ['--version']).then(
      () => true,
      () => false,
    )
    if (runs) return program
  }
  return undefined
}

/** Opens the page in a headless browser for as long as `use` takes. */
export async function withPage<T>(url: string, use: () => Promise<T>): Promise<T> {
  const program = await chromiumProgram()
  return withTempDir(async (dir) => {
    const browser = spawn(program, [...FLAGS, `--user-data-dir=${dir}`, url], { stdio: 'ignore', detached: true })
    const ended = new Promise<void>((done) => browser.once('exit', () => done()))
    try {
      const early = ended.then(() => {
        throw new Error(`${program} ended before the page was done`)
      })
      early.catch(() => {})
      return await Promise.race([use(), early])
    } finally {
      if (browser.pid !== undefined && browser.exitCode === null) process.kill(-browser.pid, 'SIGKILL')
      await ended
    }
  })
}
