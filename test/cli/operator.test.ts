import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { freePort } from '../../services/platform/ports.ts'
import { fractal } from '../../services/platform/schema.ts'
import { removeRuntime, writeRuntime } from '../../services/up/data-dir.ts'
import { withBroker } from '../support/broker.ts'
import { withPglite } from '../support/database.ts'
import { generateLog } from '../support/generated-log.ts'
import { withReadModel } from '../support/read-model.ts'
import { withTempDir } from '../support/temp.ts'
import { runHere, startProgram, withoutProgress } from './run-program.ts'

async function run(args: string[], env: Record<string, string>) {
  const { stderr, ...ended } = await runHere(args, '', env)
  return { ...ended, stderr: withoutProgress(stderr) }
}
const runProcess = (args: string[], env: Record<string, string>) => startProgram(args, { env }).ended

test('replay and migrate find what runs on the data folder, and work on its log and tables', () =>
  withTempDir((dir) =>
    withBroker((broker) =>
      withPglite(async ({ url: databaseUrl }) => {
        await generateLog(broker.url, 9)
        await writeRuntime(dir, { natsUrl: broker.url, databaseUrl, apiUrl: 'http://127.0.0.1:1', processes: [] })
        const env = { DATA_DIR: dir }

        const upToDate = { code: 0, stdout: '', stderr: 'the database is up to date\n' }
        assert.equal(await runProcess(['migrate'], env), upToDate)
        const rebuilt = await run(['replay', 'rebuild'], env)
        const found = "the log's 9 events, 3 fractals:"
        assert.is(rebuilt.stderr, `the table is made anew from ${found} no row differed before\n`)
        assert.is(rebuilt.code, 0)

        const dry = await run(['replay', 'rebuild', '--dry-run'], env)
        const unchanged = `compared with ${found} no row differed; nothing was changed\n`
        assert.equal(dry, { code: 0, stdout: '', stderr: unchanged })
        const looked = await run(['replay', 'rollback', '--dry-run', '--output', 'json'], env)
        assert.equal([looked.code, JSON.parse(looked.stdout)], [0, { took_over: false, seq: 0 }])
        assert.match(looked.stderr, /^the table before stands at event 0 of the log; nothing was changed\n$/)
        const back = await run(['replay', 'rollback'], env)
        assert.equal(back, {
          code: 0,
          stdout: '',
          stderr: "the table before is back, up to date with the log's 9 events\n",
        })

        let uuid = ''
        await withReadModel({ natsUrl: broker.url, databaseUrl }, async ({ db }) => {
          const rows = await db.select().from(fractal)
          assert.is(rows.length, 3)
          uuid = rows[0]?.uuid ?? ''
        })

        const verified = await run(['replay', 'verify'], env) // the generated log speaks of images that nobody made
        assert.is(verified.code, 1)
        assert.is(verified.stderr, 'faafo: found 4 in 9 events, 3 fractals, 3 images\n')
        assert.match(verified.stdout, /none of the 3 images is in storage +\| set STORAGE_URL to that of the workers/)
        const { findings } = JSON.parse((await run(['replay', 'verify', '--output', 'json'], env)).stdout)
        assert.equal(
          findings.map((finding: { uuid: string | null }) => finding.uuid !== null),
          [false, true, true, true],
        )

        const table = await run(['replay', 'show', uuid], env)
        assert.is(table.code, 0, table.stderr)
        for (const type of ['TaskRequested', 'TaskStarted', 'TaskCompleted']) assert.match(table.stdout, type)
        const { stdout } = await run(['replay', 'show', uuid, '--output', 'json'], env)
        assert.is(JSON.parse(stdout).length, 3)

        const asOf = ['replay', 'show', uuid, '--as-of', JSON.parse(stdout)[0].cursor, '--output', 'json']
        assert.is(JSON.parse((await run(asOf, env)).stdout).status, 'requested')
        assert.match((await run([...asOf.slice(0, 4), '2999-01-01T00:00:00Z'], env)).stdout, /status +\| completed/)
        const before = await run([...asOf.slice(0, 4), '0'], env)
        assert.equal(
          [before.code, before.stderr],
          [1, `faafo: cannot show fractal '${uuid}' as it was: there was none of that uuid\n`],
        )

        const tail = ['replay', 'tail', '--no-follow', '--since', '0', '--uuid', uuid]
        const lines = (await run(tail, env)).stdout.split('\n')
        assert.equal(
          lines.map((line) => line.split(/ {2,}/)[2]),
          ['TaskRequested', 'TaskStarted', 'TaskCompleted', undefined],
        )
        const events = (await run([...tail, '--output', 'json', '--type', 'TaskStarted', 'TaskCompleted'], env)).stdout
        assert.equal(
          events
            .trim()
            .split('\n')
            .map((line) => JSON.parse(line).type),
          ['TaskStarted', 'TaskCompleted'],
        )

        const unknown = await run(['replay', 'show', '9c1c3d0e-5b0a-4d55-a1a7-3f6a6f7b2c10'], env)
        assert.is(unknown.code, 1)
        assert.is(unknown.stderr, "faafo: fractal '9c1c3d0e-5b0a-4d55-a1a7-3f6a6f7b2c10' not found\n")
        await removeRuntime(dir)
      }),
    ),
  ))

test('replay makes no log where there is none, and leaves the tables alone', () =>
  withTempDir((dir) =>
    withBroker((broker) =>
      withPglite(async ({ url: databaseUrl }) => {
        await generateLog(broker.url, 3)
        const env = { DATA_DIR: dir, NATS_URL: broker.url, DATABASE_URL: databaseUrl }
        assert.is((await run(['replay', 'rebuild'], env)).code, 0)
        const elsewhere = { ...env, NATS_NAMESPACE: 'mistyped' }
        for (const command of [['show', '9c1c3d0e-5b0a-4d55-a1a7-3f6a6f7b2c10'], ['rebuild']]) {
          const { code, stderr } = await run(['replay', ...command], elsewhere)
          assert.is(code, 1)
          assert.match(stderr, /cannot read the log: the broker has no stream mistyped_?-?FRACTAL/i)
        }
        await withReadModel({ natsUrl: broker.url, databaseUrl }, async ({ broker: { nc }, db }) => {
          assert.is((await db.select().from(fractal)).length, 1)
          const jsm = await nc().jetstreamManager()
          assert.equal((await jsm.streams.names().next()).sort(), ['FAAFO', 'FRACTAL'])
        })
      }),
    ),
  ))

test('a moment, a type and a uuid that cannot be read are usage errors', async () => {
  for (const [args, said] of [
    [['replay', 'tail', '--since', 'yesterday'], /expected a cursor such as 42-1f2e3d4c or a time such as 2026/],
    [['replay', 'tail', '--type', 'TaskLost'], /Allowed choices are TaskRequested/],
    [['replay', 'verify', '--render', 'some'], /expected a whole number, or 'all'/],
    [['replay', 'tail', '--uuid', 'x'], /cannot read 'x' as a uuid/],
    [['replay', 'show', '9c1c3d0e-5b0a-4d55-a1a7-3f6a6f7b2c10', '--as-of', '1-2'], /expected a cursor/],
  ] as const) {
    const { code, stdout, stderr } = await run([...args], {})
    assert.equal([code, stdout, stderr.split('\n').length], [2, '', 2], stderr)
    assert.match(stderr, said)
  }
})

test('where neither a URL nor a running installation is found, the line says what to set', () =>
  withTempDir(async (dir) => {
    for (const [args, name] of [
      [['migrate'], 'DATABASE_URL'],
      [['replay', 'show', '9c1c3d0e-5b0a-4d55-a1a7-3f6a6f7b2c10'], 'NATS_URL'],
    ] as const) {
      const { code, stderr } = await run([...args], { DATA_DIR: dir })
      assert.is(code, 2)
      assert.match(stderr, `set ${name}, or DATA_DIR`)
    }
  }))

test('a broker or database that does not answer is exit code 3, and no password is shown', async () => {
  const port = await freePort()
  // Processes, for in this one the search for a broker would go on.
  const [database, broker] = await Promise.all([
    runProcess(['migrate'], { DATABASE_URL: `postgres://me:secret@127.0.0.1:${port}/x` }),
    runProcess(['replay', 'show', '9c1c3d0e-5b0a-4d55-a1a7-3f6a6f7b2c10'], { NATS_URL: `nats://127.0.0.1:${port}` }),
  ])
  assert.is(database.code, 3)
  assert.match(database.stderr, `no database answers at postgres://me:…@127.0.0.1:${port}/x`)
  assert.is(broker.code, 3)
  assert.match(broker.stderr, `no broker answers at nats://127.0.0.1:${port}`)
})

test.run()
