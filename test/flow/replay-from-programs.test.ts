import { execFile } from 'node:child_process'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { requested } from '../projector/with-projection.ts'
import { withPictures } from '../replay/with-replay.ts'
import { root } from '../support/project.ts'
import { blocksOfPage } from '../support/shell.ts'

const run = promisify(execFile)

test('the programs of the page do what it says, and end by themselves', () =>
  withPictures(1, async (c) => {
    const env = {
      PATH: process.env.PATH ?? '',
      ...{ NATS_URL: c.server.url, DATABASE_URL: c.database.url, STORAGE_URL: `file:${c.imagesDir}` },
      BACKUP: join(c.imagesDir, 'backup'),
    }
    const page = await blocksOfPage('docs/replay-from-programs.md', 'ts')
    const linesOf = async (part: string) => {
      const program = ['--input-type=module', '-e', page.next(part)]
      const { stdout } = await run(process.execPath, program, { cwd: root, env, timeout: 120_000 })
      return stdout.trim().split('\n')
    }

    const checked = ['looked at 3 events, found 0', '3 events in the backup, 3 of them new']
    assert.equal(await linesOf('verify('), checked)

    const told = (await linesOf('tail(')).map((line) => line.split(' ')[1] ?? line)
    assert.equal(told, ['TaskRequested', 'TaskStarted', 'TaskCompleted', 'completed'])

    const uuid = v4()
    const error = { code: 'render-crashed', message: 'it crashed' } as const
    const failed = { type: 'TaskFailed', fractal: uuid, data: { generation: 1, error, attempts: 3 } } as const
    await c.append(requested(uuid), failed)
    await c.caughtUp()
    assert.equal(await linesOf('park.list'), [`${uuid} is rendered again`])
    assert.equal(page.left(), [])
  }))

test.run()
