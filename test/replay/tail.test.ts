import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cursorOf } from '../../events/cursor.ts'
import { isFaafoError } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import { parseMoment } from '../../events/moment.ts'
import type { UnreadableEvent } from '../../services/platform/unreadable.ts'
import { showHistory } from '../../services/replay/show.ts'
import { type TailOptions, tailLog } from '../../services/replay/tail.ts'
import { type LogParts, requested, withLog } from '../platform/with-log.ts'
import { appendLegalHistories } from '../support/legal-log.ts'
import { NEWER, PAUSED } from '../support/newer-program.ts'
import { until } from '../support/until.ts'
import { writeRaw } from '../support/write-raw.ts'

type Tailed = RecordedEvent | UnreadableEvent

const never = new AbortController().signal

async function tail(parts: LogParts, options: Partial<TailOptions> = {}): Promise<Tailed[]> {
  const events: Tailed[] = []
  for await (const event of tailLog(parts, { follow: false, signal: never, ...options })) events.push(event)
  return events
}
const all = { since: parseMoment('0') }

test('what was recorded since a cursor or a time, of some fractals or types, up to the end', () =>
  withLog(async (parts) => {
    assert.equal(await tail(parts, all), [])
    const [one, other] = await appendLegalHistories(parts.log, { seed: 4, count: 8 })
    const events = await tail(parts, all)
    assert.equal(
      events.map(({ seq }) => seq),
      events.map((_, i) => i + 1),
    )
    assert.is(events.length, (await parts.log.head()).lastSeq)
    assert.equal(await tail(parts), events.slice(-10))

    const middle = events[Math.floor(events.length / 2)] as Tailed
    assert.equal(await tail(parts, { since: parseMoment(cursorOf(middle)) }), events.slice(middle.seq))
    const time = new Date(middle.recordedAt).toISOString()
    assert.equal(
      await tail(parts, { since: parseMoment(time) }),
      events.filter(({ recordedAt }) => recordedAt >= middle.recordedAt),
    )
    assert.equal(await tail(parts, { since: parseMoment('2999-01-01T00:00:00Z') }), [])

    const uuids = [one ?? '', other ?? '']
    assert.equal(
      await tail(parts, { ...all, uuids }),
      events.filter((event) => uuids.includes(event.fractal)),
    )
    assert.equal(
      await tail(parts, { ...all, uuids, types: ['TaskRequested'] }),
      events.filter((event) => uuids.includes(event.fractal) && event.type === 'TaskRequested'),
    )
  }))

test('what a newer version wrote stands in its place, in the log and in the history of its fractal', () =>
  withLog(async (parts) => {
    const request = requested()
    const { fractal } = request
    await parts.log.append(request)
    const cancelled = { type: 'TaskCancelled', fractal, data: { generation: 1, reason: 'asked for' } } as const
    const started = { generation: 1, entry: 1, worker: 'newer', isolated: false }
    const newer = await writeRaw(parts.server.url, { type: 'TaskStarted', fractal, data: started }, NEWER)
    await writeRaw(parts.server.url, cancelled, PAUSED)
    await parts.log.append(requested())
    const [version, type] = [
      'cannot read event 2: TaskStarted version 2 is newer than the version 1 that this program knows',
      "cannot read event 3: its type 'TaskPaused' is unknown to this version",
    ]
    const events = await tail(parts, all)
    assert.equal(
      events.map((event) => ('unreadable' in event ? [event.seq, event.type, event.unreadable] : event.seq)),
      [1, [2, 'TaskStarted', version], [3, 'TaskPaused', type], 4],
    )
    assert.equal(await tail(parts, { ...all, uuids: [fractal], types: ['TaskPaused'] }), [events[2]])
    const entries = await showHistory(parts.log, fractal)
    assert.equal(
      entries.map(({ type, details }) => [type, details]),
      [
        ['TaskRequested', entries[0]?.details],
        ['TaskStarted', version],
        ['TaskPaused', type],
      ],
    )
    assert.is(entries[1]?.cursor, cursorOf(newer))
  }))

test('it follows what is recorded until it is stopped, and leaves no consumer behind', () =>
  withLog(async (parts) => {
    const stop = new AbortController()
    const seen: Tailed[] = []
    const following = (async () => {
      for await (const event of tailLog(parts, { follow: true, signal: stop.signal })) seen.push(event)
    })()
    for (let n = 1; n <= 3; n++) {
      await parts.log.append(requested())
      await until(() => seen.length === n, { what: 'the event is seen' })
    }
    stop.abort()
    await following
    const jsm = await parts.broker.nc().jetstreamManager()
    const consumers = async () => (await jsm.consumers.list(parts.broker.names.stream).next()).length
    await until(async () => (await consumers()) === 0, { what: 'its consumer is gone' })
  }))

test('a cursor of another log is refused', () =>
  withLog(async (parts) => {
    await parts.log.append(requested())
    for (const text of ['1-00000000', '7', '7-00000000']) {
      const error = await tail(parts, { since: parseMoment(text), follow: true }).catch((error) => error)
      assert.ok(isFaafoError(error, 'log-replaced'), `${text}: ${error}`)
    }
  }))

test.run()
