import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { removeRuntime, writeRuntime } from '../../services/up/data-dir.ts'
import { withAdministration } from '../platform/with-log.ts'
import { withBroker } from '../support/broker.ts'
import { withPglite } from '../support/database.ts'
import { generateLog } from '../support/generated-log.ts'
import { withTempDir } from '../support/temp.ts'
import { runHere, startProgram } from './run-program.ts'

const run = (args: string[], env: Record<string, string>) => runHere(['replay', 'doctor', ...args], '', env)

test('the doctor finds what runs on the data folder, and says what it looked at, found, and did', () =>
  withTempDir((dir) =>
    withBroker((broker) =>
      withPglite(async ({ url: databaseUrl }) => {
        await generateLog(broker.url, 9)
        await writeRuntime(dir, {
          ...{ natsUrl: broker.url, databaseUrl, apiUrl: 'http://127.0.0.1:1', storageUrl: `file:${dir}/images` },
          ...{ syncInterval: '2m', processes: [] },
        })
        const env = { DATA_DIR: dir }

        const first = await run([], env)
        assert.is(first.code, 1)
        assert.match(first.stderr, /^faafo: found 2 faults and 2 warnings in \d+ checks\n$/)
        assert.match(first.stdout, /^\+-+\+-+\+-+\+\n\| Check +\| State +\| Found +\|\n/)
        assert.match(first.stdout, /\| broker +\| ok +\| nats-server \d/)
        assert.match(first.stdout, /\| durability +\| warning \| the broker flushes to its disk every 2m/)
        assert.match(
          first.stdout,
          /\| stream +\| wrong +\| the broker has no stream FAAFO, .*faafo replay doctor --mend /,
        )
        assert.match(first.stdout, /\| database +\| wrong +\| its schema .*What to do: faafo migrate /)
        assert.match(
          first.stdout,
          /\| queue +\| warning \| the consumer render is missing.*faafo replay doctor --mend /,
        )
        assert.match(first.stdout, /\| checkpoint +\| skipped \|/)

        for (const step of [['migrate'], ['replay', 'rebuild']]) assert.is((await runHere(step, '', env)).code, 0)
        const dry = await run(['--mend', '--dry-run'], env)
        assert.match(
          dry.stderr,
          /^stream would be mended: makes the stream FAAFO\nqueue would be mended: makes the consumer render\n/,
        )
        await withAdministration(broker.url, async (jsm) => {
          assert.equal(await jsm.consumers.list('FRACTAL').next(), [], 'nothing was made')
        })

        const mended = await run(['--mend', '--output', 'json'], env)
        assert.match(mended.stderr, /^stream mended: makes the stream FAAFO\nqueue mended: makes the consumer render\n/)
        const answer = JSON.parse(mended.stdout)
        assert.equal(Object.keys(answer), ['healthy', 'dry_run', 'mended', 'findings'])
        assert.equal(answer.mended, [
          { check: 'stream', what: 'makes the stream FAAFO', error: null },
          { check: 'queue', what: 'makes the consumer render', error: null },
        ])
        const finding = (check: string) => answer.findings.find((one: { check: string }) => one.check === check)
        assert.equal(Object.keys(finding('queue')), ['check', 'severity', 'found', 'remedy'])
        assert.equal([finding('queue').severity, finding('queue').remedy], ['ok', null])
        assert.is(finding('storage').severity, 'wrong') // the generated log speaks of images that nobody made
        assert.equal([answer.healthy, mended.code], [false, 1])
        await removeRuntime(dir)
      }),
    ),
  ))

test('exit code 0 where nothing is wrong, also with warnings', () =>
  withTempDir((dir) =>
    withBroker((broker) =>
      withPglite(async ({ url: databaseUrl }) => {
        const env = {
          DATA_DIR: dir,
          NATS_URL: broker.url,
          DATABASE_URL: databaseUrl,
          STORAGE_URL: `file:${dir}/images`,
        }
        assert.is((await runHere(['migrate'], '', env)).code, 0)
        assert.is((await run([], env)).code, 1)
        const { code, stdout, stderr } = await run(['--mend', '--images'], env)
        assert.is(code, 0, stdout)
        assert.match(stderr, /^stream mended: makes the stream FRACTAL\nnothing is wrong: \d+ checks, 1 warning\n$/)
        assert.match(stdout, /durability +\| warning \| nobody said how often the broker flushes/)
        const flushed = await run([], { ...env, NATS_SYNC_INTERVAL: 'always' })
        assert.is(flushed.code, 0)
        if (!/^2\.9\./.test(broker.version)) assert.match(flushed.stderr, /^all is well: \d+ checks\n$/)
      }),
    ),
  ))

test('what is away is told, and no password of it', async () => {
  const env = { NATS_URL: 'nats://127.0.0.1:1', DATABASE_URL: 'postgres://me:secret@127.0.0.1:1/x' }
  const { code, stdout, stderr } = await startProgram(['replay', 'doctor'], { env }).ended
  assert.is(code, 1)
  assert.match(stderr, /^faafo: found 2 faults in \d+ checks\n$/)
  assert.match(stdout, /broker +\| wrong +\| cannot reach the log: no broker answers/)
  assert.match(stdout, /database +\| wrong +\| it does not answer/)
  assert.not.match(stdout, /secret/)
})

test('a dry run of nothing is a usage error', async () => {
  const { code, stdout, stderr } = await run(['--dry-run'], {})
  assert.equal([code, stdout, stderr.split('\n').length], [2, '', 2])
  assert.match(stderr, /--dry-run goes with --mend; see faafo replay doctor --help/)
})

test.run()
