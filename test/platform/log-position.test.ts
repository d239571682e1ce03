import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { idPrefixOf } from '../../events/cursor.ts'
import { type LogPosition, startOfLog, verifyPosition } from '../../services/platform/log-reader.ts'
import { generateLog } from '../support/generated-log.ts'
import { withLog } from './with-log.ts'

test('a position holds in the log that it was taken from, and in no other', () =>
  withLog(async ({ server, log }) => {
    await generateLog(server.url, 30)
    const head = await log.head()
    const event = await log.at(10)
    if (!event) throw new Error('it was written')
    const taken: LogPosition = { seq: 10, id: event.id, streamCreated: head.created, time: event.recordedAt }
    const unsaid = { id: null, streamCreated: null }
    for (const good of [
      taken,
      startOfLog,
      { ...taken, ...unsaid },
      { ...taken, id: idPrefixOf(event.id) },
      { ...taken, ...unsaid, seq: 30 },
    ]) {
      assert.equal(await verifyPosition(log, good), head)
    }
    const bad: [Partial<LogPosition>, RegExp][] = [
      [{ streamCreated: '2020-01-01T00:00:00Z' }, /the log was made at .*, the one read before at 2020/],
      [{ seq: 11 }, /the event there is now /],
      [{ id: 'ffffffff' }, /the event there is now /],
      [{ seq: 31, ...unsaid }, /the log ends at event 30; its end was lost/],
    ]
    for (const [difference, reason] of bad) {
      const error = await verifyPosition(log, { ...taken, ...difference }).catch((thrown) => thrown)
      assert.is(error.code, 'log-replaced')
      assert.match(error.message, reason)
    }
  }))

test.run()
