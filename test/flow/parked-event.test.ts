import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { NewEvent } from '../../events/events.ts'
import { parkedIdOf } from '../../events/parked.ts'
import { createLog } from '../../services/platform/log.ts'
import { fractal, heldEvent } from '../../services/platform/schema.ts'
import type { Finding } from '../../services/replay/findings.ts'
import { verify } from '../../services/replay/verify.ts'
import { runHere } from '../cli/run-program.ts'
import { type Projection, requested, type WithDatabase, withProjection } from '../projector/with-projection.ts'
import { compareWithLog } from '../support/compare-with-log.ts'
import { withPglite, withPostgres } from '../support/database.ts'
import { decodeAsNewer, NEWER, PAUSED } from '../support/newer-program.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'
import { writeRaw } from '../support/write-raw.ts'

const cancelled = (uuid: string): NewEvent => ({
  type: 'TaskCancelled',
  fractal: uuid,
  data: { generation: 1, reason: 'asked for' },
})

type Operator = Projection & {
  /** Runs a command line as an operator would, its words with blanks between. */
  run(line: string): ReturnType<typeof runHere>
  findings(): Promise<Finding[]>
  statuses(): Promise<Map<string, string>>
  held(): Promise<number[]>
}

const withOperator = (withDatabase: WithDatabase, use: (operator: Operator) => Promise<void>) =>
  withTempDir((dir) =>
    withProjection(withDatabase, async (p) => {
      const env = { NATS_URL: p.server.url, DATABASE_URL: p.database.url, STORAGE_URL: `file:${dir}`, DATA_DIR: dir }
      const run = (line: string) => runHere(line.split(' '), '', env)
      await use({
        ...p,
        run,
        findings: async () => JSON.parse((await run('replay verify --output json')).stdout).findings,
        async statuses() {
          const rows = await p.parts.db.select({ uuid: fractal.uuid, status: fractal.status }).from(fractal)
          return new Map(rows.map(({ uuid, status }) => [uuid, status]))
        },
        held: async () => (await p.parts.db.select().from(heldEvent)).map(({ seq }) => seq).sort((a, b) => a - b),
      })
    }),
  )

/** The command that a finding says, as it is said. */
const commandOf = ({ remedy }: Finding): string => remedy.replace(/^faafo /, '')

for (const [name, withDatabase] of [
  ['PostgreSQL', withPostgres],
  ['PGlite', withPglite],
] as const) {
  for (const [what, attributes] of [
    ['an unknown type', PAUSED],
    ['a future version', NEWER],
  ] as const) {
    test(`${name}: an event of ${what} is named by verify, passed by the command that it prints, and applied by a newer program`, () =>
      withOperator(withDatabase, async (p) => {
        const [held, other] = [v4(), v4()]
        const projector = p.start()
        await p.append(requested(held), requested(other))
        const id = parkedIdOf(await writeRaw(p.server.url, cancelled(held), attributes))
        await p.append(
          { type: 'TaskDeleted', fractal: held, data: {} },
          { type: 'TaskCancelled', fractal: other, data: { generation: 1, reason: 'asked for' } },
        )
        await until(() => projector.said('projector halted'), { what: 'it halts' })

        const rebuilt = await p.run('replay rebuild')
        assert.equal([rebuilt.code, rebuilt.stderr.includes(`faafo replay park event ${id} has`)], [1, true])
        const [found, ...others] = await p.findings()
        assert.equal([found?.kind, found?.cursor, others], ['event-unreadable', id, []])
        assert.is(found?.remedy, `faafo replay park event ${id}`)
        const parked = await p.run(commandOf(found as Finding))
        assert.equal([parked.code, parked.stdout], [0, `parked ${id}\n`], parked.stderr)
        await p.caughtUp()
        assert.equal(await p.held(), [3, 4])
        assert.equal((await p.statuses()).get(held), 'requested')
        assert.equal((await p.statuses()).get(other), 'cancelled')

        const [still, ...more] = await p.findings()
        assert.equal([still?.kind, still?.cursor, more], ['event-parked', id, []])
        assert.is(still?.remedy, `faafo replay park retry ${id}`)
        const early = await p.run(commandOf(still as Finding))
        assert.is(early.code, 1)
        assert.match(early.stderr, `event ${id} stays parked after 2 tries: cannot read event 3`)
        const [listed] = JSON.parse((await p.run('replay park list --output json')).stdout)
        assert.equal([listed.kind, listed.id, listed.fractal, listed.attempts], ['event', id, held, 2])
        await projector.stop()

        p.start({ decode: decodeAsNewer })
        await until(async () => (await p.held()).length === 0, { what: 'a newer program applied it' })
        assert.equal(await p.statuses(), new Map([[other, 'cancelled']]))
        const newer = { ...p.parts, log: createLog(p.parts.broker, decodeAsNewer) }
        assert.equal((await compareWithLog(newer)).differences, [])
        const images = { get: async () => null }
        const render = () => assert.unreachable() as never
        const { findings } = await verify(newer, { images, render, pictures: 0, signal: new AbortController().signal })
        assert.equal(findings, [])
        // the older one cannot tell
        assert.equal(
          (await p.findings()).map(({ kind, cursor }) => [kind, cursor]),
          [['unverified', id]],
        )
      }))
  }
}

test('a dropped event counts for nothing: the later ones of its fractal apply, and nothing is found any more', () =>
  withOperator(withPostgres, async (p) => {
    const [early, late] = [v4(), v4()]
    p.start()
    await p.append(requested(early), requested(late))
    const ids: string[] = []
    for (const uuid of [early, late]) {
      ids.push(parkedIdOf(await writeRaw(p.server.url, started(uuid), NEWER)))
      await p.append(cancelled(uuid))
    }
    const [first = '', second = ''] = ids
    const dry = await p.run(`replay park drop ${first} --dry-run`)
    assert.equal([dry.code, dry.stdout], [0, `would be: dropped ${first}\n`], dry.stderr)
    assert.is((await p.run(`replay park drop ${first}`)).code, 0) // at which the projector halts
    assert.is((await p.run(`replay park event ${second}`)).code, 0)
    await p.caughtUp()
    await until(async () => (await p.held()).join() === '5,6', { what: 'only the second is held back' })
    assert.is((await p.run(`replay park drop ${second}`)).code, 0)
    assert.equal(await p.held(), [])
    assert.equal([...(await p.statuses()).values()], ['cancelled', 'cancelled'])
    assert.equal(await p.findings(), [])
    const { stdout } = await p.run(`replay park show ${second} --output json`)
    const shown = JSON.parse(stdout)
    assert.equal([shown.status, shown.held, shown.headers['ce-type']], ['dropped', false, 'TaskStarted'])
    assert.equal(
      shown.decisions.map(({ type }: { type: string }) => type),
      ['EventParked', 'EventDropped'],
    )
    assert.equal((await p.parts.log.history(late)).length, 2)
  }))

const started = (fractal: string): NewEvent => ({
  type: 'TaskStarted',
  fractal,
  data: { generation: 1, entry: 1, worker: 'test', isolated: false },
})

test('parked events are retried by type, or all at a chosen rate', () =>
  withOperator(withPostgres, async (p) => {
    const uuids = Array.from({ length: 6 }, () => v4())
    await p.append(...uuids.map((uuid) => requested(uuid)))
    const ids: string[] = []
    for (const [i, uuid] of uuids.entries()) {
      ids.push(parkedIdOf(await writeRaw(p.server.url, i < 4 ? started(uuid) : cancelled(uuid), NEWER)))
    }
    assert.is((await p.run(`replay park event ${ids.join(' ')}`)).code, 0)
    p.start()
    await p.caughtUp()
    const dry = await p.run('replay park retry --type TaskCancelled --dry-run --output json')
    assert.equal(
      JSON.parse(dry.stdout).map(({ id, outcome }: { id: string; outcome: string }) => [id, outcome]),
      ids.slice(4).map((id) => [id, 'still parked']),
    )
    const startedAt = Date.now()
    const { code, stdout } = await p.run('replay park retry --all --rate 4 --output json')
    assert.equal([code, JSON.parse(stdout).length], [1, 6])
    assert.ok(Date.now() - startedAt >= 1_000, 'it kept to the rate')
    const rows = await p.parts.db.select().from(heldEvent)
    assert.equal(
      rows.map(({ tries }) => tries),
      ids.map(() => 2),
    )
  }))

test('what is no parked event is refused, with what it is', () =>
  withOperator(withPostgres, async (p) => {
    const uuid = v4()
    p.start()
    await p.append(requested(uuid))
    await p.caughtUp()
    const id = parkedIdOf((await p.parts.log.messageAt(1)) ?? { seq: 0, id: '' })
    for (const [line, code, said] of [
      [`park event ${id}`, 1, `cannot park event '${id}': it can be read, and no projector halted there`],
      ['park event 7', 1, "cannot find event '7': the log has none there"],
      ['park event 1-00000000', 1, `cannot find event '1-00000000': the event there is '${id}'`],
      ['park event x', 2, "cannot read 'x' as a cursor: expected one such as 1042-9f1c2ab4"],
      [`park retry ${id}`, 1, `cannot retry event '${id}': the tables hold no such event back`],
      [`park retry ${uuid}`, 1, `cannot retry fractal '${uuid}': it is requested; only a task that failed is parked`],
      [`park drop ${uuid}`, 1, `cannot drop fractal '${uuid}': it is requested; only a task that failed is parked`],
      ['park retry', 2, 'cannot tell what to retry: give ids, or --type, or --all'],
      ['park retry --all --rate 0', 2, 'expected a positive number of events a second, such as 50'],
      ['park drop x', 2, "cannot read 'x' as a cursor or a uuid: expected one such as 1042-9f1c2ab4"],
    ] as const) {
      const answer = await p.run(`replay ${line}`)
      assert.is(answer.code, code, `${line}: ${answer.stderr}`)
      assert.match(answer.stderr, said, line)
      assert.not.match(answer.stderr, 'goes on', line)
    }
    assert.equal((await p.run('replay park list')).stderr, 'nothing is parked\n')
  }))

test.run()
