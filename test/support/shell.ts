import { execFile, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { sendSignal } from '../../services/up/supervisor.ts'
import { root } from './project.ts'
import { until } from './until.ts'

const ALONE = '# in a terminal of its own\n'
const PATIENT_MS = 120_000

/** The shell of whoever follows the page: what a block exports holds for those after it. */
export function shell(cwd: string, env: Record<string, string>, names: Record<string, string>) {
  const exported: string[] = []
  const terminals: { end(): Promise<void> }[] = []
  const withNames = (text: string) => Object.entries(names).reduce((all, [from, to]) => all.replaceAll(from, to), text)

  function scriptOf(block: string, program: string): string {
    const script = withNames(block).replace(/(^|\s)faafo /gm, `$1${program} `)
    const all = ['set -e', ...exported, script].join('\n')
    exported.push(...script.split('\n').filter((line) => /^(export|unset) /.test(line)))
    return all
  }

  return {
    /** To its end, with all that it wrote. */
    run: (block: string): Promise<string> =>
      new Promise((done, fail) => {
        const script = scriptOf(block, '"$NODE" "$LAUNCHER"')
        execFile(
          'bash',
          ['-c', script],
          { cwd, env, maxBuffer: 1 << 26, timeout: PATIENT_MS },
          (error, stdout, stderr) => {
            if (error) fail(new Error(`${block}\nended with ${error.code ?? error.signal}:\n${stdout}${stderr}`))
            else done(stdout + stderr)
          },
        )
      }),
    /** In the background, until `end`. */
    start(block: string) {
      const child = spawn(
        'bash',
        [
          '-c',
          scriptOf(
            block.replace(ALONE, '').replace(/^(curl|node|python3|deno) /gm, 'exec $1 '),
            'exec "$NODE" "$LAUNCHER"',
          ),
        ],
        {
          cwd,
          env,
          stdio: ['ignore', 'pipe', 'pipe'],
        },
      )
      let text = ''
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (chunk) => {
          text += chunk
        })
      }
      const isGone = () => child.exitCode !== null || child.signalCode !== null
      const terminal = {
        text: () => text,
        says: (what: string) =>
          until(
            () => {
              if (child.exitCode !== null) throw new Error(`${block}\nended:\n${text}`)
              return text.includes(what)
            },
            { what: () => `${block} says '${what}':\n${text}`, withinMs: PATIENT_MS },
          ),
        async end() {
          if (!isGone()) sendSignal(child, 'SIGINT')
          try {
            await until(isGone, { what: () => `${block} ends:\n${text}`, withinMs: PATIENT_MS })
          } finally {
            child.kill('SIGKILL')
          }
        },
      }
      terminals.push(terminal)
      return terminal
    },
    endAll: () => Promise.all(terminals.map((terminal) => terminal.end())),
  }
}

/** The blocks of the page, in its order; each is to be taken once. */
export async function blocksOfPage(path: string, language = 'sh') {
  const page = await readFile(join(root, path), 'utf8')
  const blocks = [...page.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g'))].map(
    ([, block = '']) => block,
  )
  return {
    next(part: string): string {
      const block = blocks.shift() ?? ''
      assert.ok(block.includes(part), `the page goes on with ${part}: ${block}`)
      return block
    },
    left: () => blocks,
  }
}
