import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openBroker } from '../../services/platform/broker.ts'
import { parseConfig } from '../../services/platform/config.ts'
import { createLog } from '../../services/platform/log.ts'
import { createLogger } from '../../services/platform/logger.ts'
import { identified } from '../platform/with-log.ts'
import { withBroker } from '../support/broker.ts'
import { generateLog } from '../support/generated-log.ts'
import { withTempDir } from '../support/temp.ts'
import { runHere } from './run-program.ts'

/** Two installations on one broker, the second under a namespace and without a stream yet. */
const withBoth = (
  use: (at: {
    dir: string
    url: string
    run: (args: string[], env?: Record<string, string>) => ReturnType<typeof runHere>
    copy: Record<string, string>
  }) => Promise<void>,
) =>
  withTempDir((dir) =>
    withBroker(async ({ url }) => {
      const env = { NATS_URL: url, DATA_DIR: join(dir, 'data') }
      const run = (args: string[], more = {}) => runHere(['replay', ...args], '', { ...env, ...more })
      await use({ dir: join(dir, 'export'), url, run, copy: { NATS_NAMESPACE: 'copy' } })
    }),
  )

test('export and import say what they did, for people and for programs', () =>
  withBoth(async ({ dir, url, run, copy }) => {
    await generateLog(url, 9)
    const exported = await run(['export', dir])
    assert.is(exported.code, 0, exported.stderr)
    assert.match(exported.stderr, /^\S+ holds 9 events, 1-[0-9a-f]{8} to 9-[0-9a-f]{8}, 9 of them new\n$/)
    const again = JSON.parse((await run(['export', dir, '--images', '--output', 'json'])).stdout)
    assert.equal([again.folder, again.events, again.added], [dir, 9, 0])
    assert.equal(again.images, { copied: 0, missing: 3 }) // the generated log speaks of images that nobody made

    const fresh = await run(['import', dir, '--dry-run'], copy)
    assert.is(fresh.code, 0, fresh.stderr)
    assert.match(fresh.stderr, /^of 9 events 9 would be appended, 0 were there already, 0 would be skipped\n/)
    assert.match((await run(['tail'], copy)).stderr, 'the broker has no stream copy-FRACTAL')
    const first = await run(['import', dir], copy)
    assert.is(first.code, 0, first.stderr)
    assert.match(first.stderr, /^of 9 events 9 were appended, 0 were there already, 0 were skipped\n/)
    assert.match(first.stderr, /\n0 images were put into storage, 3 were missing from the export\n$/)
    const second = JSON.parse((await run(['import', dir, '--dry-run', '--output', 'json'], copy)).stdout)
    const { dry_run, events, appended, duplicates, conflicts, unfinished } = second
    assert.equal([dry_run, events, appended, duplicates, conflicts, unfinished], [true, 9, 0, 9, [], 0])
    assert.is((await run(['tail', '--since', '0', '--no-follow'], copy)).stdout.split('\n').length, 10)
  }))

test('a conflict is a table and exit code 1, and so is a damaged line, which is named', () =>
  withBoth(async ({ dir, url, run, copy }) => {
    await generateLog(url, 3)
    await run(['export', dir])
    const [line = ''] = (await readFile(join(dir, 'events.ndjson'), 'utf8')).split('\n')
    const { event } = JSON.parse(line)
    const config = parseConfig({ NATS_URL: url, ...copy })
    const broker = openBroker({ ...config.broker, url }, 'test', createLogger('test', { logLevel: 'silent' }))
    await broker.ready
    const mine = identified({ type: 'TaskRequested', fractal: event.subject, data: event.data })
    await createLog(broker).append(mine)
    await broker.close()
    const { code, stdout, stderr } = await run(['import', dir], copy)
    assert.is(code, 1)
    assert.match(stdout, `fractal.requested.${event.subject}.1`)
    for (const text of [event.id, mine.id]) assert.match(stdout, text)
    assert.match(stderr, /^of 3 events 0 were appended, 0 were there already, 3 were skipped\n/)
    assert.match(stderr, /\nfaafo: 1 fractals went another way here and stay as they are\n$/)

    await writeFile(join(dir, 'events.ndjson'), line.replace('"seq":1,', '"seq":2,'))
    const damaged = await run(['import', dir], copy)
    assert.is(damaged.code, 1)
    assert.match(damaged.stderr, /^faafo: cannot use \S+events\.ndjson: line 1 is damaged: .*\n$/)
  }))

test('what cannot be exported or imported is one line that says why', () =>
  withBoth(async ({ dir, url, run }) => {
    await generateLog(url, 3)
    await mkdir(dir)
    await writeFile(join(dir, 'file'), '')
    await writeFile(join(dir, 'manifest.json'), '{"format":"faafo-export","version":2}')
    for (const [args, code, said] of [
      [['export'], 2, /missing required argument 'folder'/],
      [['import'], 2, /missing required argument 'folder'/],
      [['export', `${dir}-x`, '--since', 'yesterday'], 2, /expected 42-1f2e3d4c or 42/],
      [['export', `${dir}-x`, '--since', '2-00000000'], 1, /cannot go on from event 2: the event there is now /],
      [['export', `${dir}-y`, '--since', '7'], 1, /cannot go on from event 7: the log ends at event 3/],
      [['export', join(dir, 'file')], 1, /cannot write \S+file: EEXIST/],
      [['import', join(dir, 'nowhere')], 1, /cannot import \S+nowhere: there is no manifest\.json in it/],
      [['import', dir], 1, /manifest\.json: format 2 is newer than the format 1 that this program knows/],
      [['import', join(dir, 'file')], 1, /cannot read \S+manifest\.json: ENOTDIR/],
    ] as const) {
      const ended = await run([...args])
      assert.equal([ended.code, ended.stdout, ended.stderr.split('\n').length], [code, '', 2], ended.stderr)
      assert.match(ended.stderr, said)
    }
    const nobody = { NATS_URL: '', DATA_DIR: dir }
    const ended = await run(['export', dir], nobody)
    assert.is(ended.code, 2)
    assert.match(ended.stderr, 'set NATS_URL, or DATA_DIR')
  }))

test.run()
