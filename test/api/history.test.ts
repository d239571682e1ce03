import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cloudEventSchema } from '../../events/cloud-event.ts'
import { firstEvents } from '../support/server-sent.ts'
import { complete, create, json, start, unknownUuid, withApi } from './with-api.ts'

test('the events of a fractal are CloudEvents in the order of the log, also once it was deleted', () =>
  withApi(
    async (parts) => {
      const { app, log } = parts
      const { uuid } = await create(app)
      await start(parts, uuid)
      await complete(parts, uuid)
      await app.request(`/v1/fractal/${uuid}`, { method: 'DELETE' })
      const { events } = await json(app.request(`/v1/fractal/${uuid}/events`))
      for (const event of events) assert.equal(cloudEventSchema.parse(event), event)
      const history = await log.history(uuid)
      assert.equal(
        events.map((event: { type: string; id: string; subject: string; data: unknown }) => [
          event.type,
          event.id,
          event.subject,
          event.data,
        ]),
        history.map(({ type, id, data }) => [type, id, uuid, data]),
      )
      assert.is(events.length, 4)
      assert.is(events[0].cursor.split('-')[0], '1')
      assert.is(events[0].recordedtime, new Date(history[0]?.recordedAt ?? 0).toISOString())
      assert.is(events[1].correlationid, history[1]?.correlationid)
    },
    { database: 'away' },
  ))

test('of the events of a fractal those come that are asked for, as JSON and as a stream', () =>
  withApi(
    async (parts) => {
      const { app } = parts
      const { uuid, cursor } = await create(app)
      await start(parts, uuid)
      await create(app)
      await complete(parts, uuid)
      const ask = (query: string, headers: Record<string, string> = {}) =>
        Promise.resolve(app.request(`/v1/fractal/${uuid}/events${query}`, { headers }))
      const { events } = await json(ask(''))
      const { recordedtime } = events[1]
      const types = events.map(({ type }: { type: string }) => type)
      assert.equal(types, ['TaskRequested', 'TaskStarted', 'TaskCompleted'])
      const isSince = (event: { recordedtime: string }) => event.recordedtime >= recordedtime
      const accept = 'text/event-stream'
      for (const [query, expected] of [
        ['?after=0', types],
        [`?after=${cursor}`, types.slice(1)],
        [`?since=${recordedtime}`, types.filter((_: string, i: number) => isSince(events[i]))],
        ['?type=TaskRequested,TaskCompleted', [types[0], types[2]]],
        ['?type=TaskRequested&type=TaskCompleted', [types[0], types[2]]],
        ['?status=completed', [types[2]]],
        [`?status=rendering,completed&type=TaskStarted&after=${cursor}`, [types[1]]],
      ]) {
        const found = (await json(ask(query))).events.map(({ type }: { type: string }) => type)
        assert.equal(found, expected, query)
        const streamed = await firstEvents(await ask(query, { accept }), expected.length)
        assert.equal(
          streamed.map(({ event }) => event),
          expected,
          query,
        )
      }
      assert.is((await json(ask('', { 'last-event-id': cursor }))).events.length, 2)

      const following = await ask('?type=TaskStarted', { accept })
      await app.request(`/v1/fractal/${uuid}`, { method: 'DELETE' })
      const [only, ...more] = await firstEvents(following, Number.POSITIVE_INFINITY)
      assert.equal([only?.event, more], ['TaskStarted', []])
      assert.is((await ask('?type=TaskStarted', { accept, 'last-event-id': only?.id ?? '' })).status, 204)
    },
    { database: 'away' },
  ))

test('what cannot be asked of the events of a fractal is refused', () =>
  withApi(
    async ({ app }) => {
      const { uuid } = await create(app)
      for (const accept of ['application/json', 'text/event-stream']) {
        const answer = async (query: string) => {
          const response = await app.request(`/v1/fractal/${uuid}/events?${query}`, { headers: { accept } })
          return [response.status, (await json(response)).code]
        }
        for (const query of [
          ...[
            'after=',
            'after=x',
            'since=yesterday',
            'type=TaskDone',
            'status=done',
            'after=0&since=2026-01-31T12:00:00Z',
          ],
          ...[`uuid=${uuid}`, 'limit=1', 'wait=1', 'from=1'],
        ]) {
          assert.equal(await answer(query), [400, 'invalid-request'], query)
        }
        for (const after of ['1-00000000', '99']) {
          assert.equal(await answer(`after=${after}`), [410, 'log-replaced'], after)
        }
      }
    },
    { database: 'away' },
  ))

test('of an unknown fractal there are no events', () =>
  withApi(
    async ({ app }) => {
      for (const uuid of [unknownUuid, 'no-uuid']) {
        const response = await app.request(`/v1/fractal/${uuid}/events`)
        assert.is(response.status, 404)
        assert.is((await json(response)).code, 'not-found')
      }
    },
    { database: 'away' },
  ))

test('as_of shows a fractal as it was, by cursor and by time, also one that was deleted since', () =>
  withApi(
    async (parts) => {
      const { app } = parts
      const created = await create(app)
      const { uuid, cursor } = created
      const started = await start(parts, uuid)
      await complete(parts, uuid)
      await app.request(`/v1/fractal/${uuid}`, { method: 'DELETE' })
      const asOf = (moment: string) => Promise.resolve(app.request(`/v1/fractal/${uuid}?as_of=${moment}`))

      assert.equal(await json(asOf(cursor)), created)
      assert.is((await json(asOf(String(started.seq)))).status, 'rendering')
      assert.is((await json(asOf(new Date(started.recordedAt).toISOString()))).uuid, uuid)
      assert.is((await json(asOf('3'))).status, 'completed')
      for (const moment of ['0', '4', '2001-01-01T00:00:00Z']) {
        const response = await asOf(moment)
        assert.is(response.status, 404)
        assert.is((await json(response)).code, 'not-found')
      }
      for (const moment of ['yesterday', '', '2026-01-31', '2026-99-31T12:00:00Z']) {
        const response = await asOf(moment)
        assert.is(response.status, 400)
        assert.match((await json(response)).detail, /expected a cursor such as 42-1f2e3d4c or a time such as 2026/)
      }
      assert.is((await asOf('1-00000000')).status, 410)
    },
    { database: 'away' },
  ))

test.run()
