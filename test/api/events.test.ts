import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cloudEventSchema, unreadableEventSchema } from '../../events/cloud-event.ts'
import { cursorOf } from '../../events/cursor.ts'
import type { RecordedEvent } from '../../events/events.ts'
import { eventsPageSchema, progressSchema } from '../../services/api/event-schemas.ts'
import { announce } from '../../services/platform/presence.ts'
import { firstEvents } from '../support/server-sent.ts'
import { writeRaw } from '../support/write-raw.ts'
import { complete, create, fail, json, type Parts, post, start, unknownUuid, withApi } from './with-api.ts'

const withEvents = (use: Parameters<typeof withApi>[0]) => withApi(use, { database: 'away' })

const stream = ({ app }: Parts, query = '', headers: Record<string, string> = {}) =>
  Promise.resolve(app.request(`/v1/events${query}`, { headers: { accept: 'text/event-stream', ...headers } }))

async function page({ app }: Parts, query = '') {
  const answer = await json(app.request(`/v1/events${query}`))
  assert.equal(eventsPageSchema.strict().parse(answer), answer)
  return answer
}

async function refusal({ app }: Parts, path: string, headers: Record<string, string> = {}) {
  const response = await app.request(path, { headers })
  const { code, detail } = await json(response)
  return [response.status, code, detail]
}

const inTime = (seconds: number) => new Date(Date.now() + seconds * 1_000).toISOString()

async function allEvents({ log }: Parts): Promise<RecordedEvent[]> {
  const { lastSeq } = await log.head()
  const events = await Promise.all(Array.from({ length: lastSeq }, (_, i) => log.at(i + 1)))
  return events.filter((event) => event !== null)
}

test('a stream has every event from now on, each with its type, cursor and CloudEvent; who comes back misses nothing', () =>
  withEvents(async (parts) => {
    await create(parts.app)
    const response = await stream(parts)
    assert.equal(
      [response.status, response.headers.get('content-type'), response.headers.get('cache-control')],
      [200, 'text/event-stream; charset=utf-8', 'no-store'],
    )
    const { uuid } = await create(parts.app)
    await start(parts, uuid)
    const seen = await firstEvents(response, 2)
    const events = await allEvents(parts)
    assert.equal(
      seen.map(({ event, id }) => [event, id]),
      events.slice(1).map((event) => [event.type, cursorOf(event)]),
    )
    for (const { data, event, id } of seen) {
      const parsed = cloudEventSchema.parse(JSON.parse(data))
      assert.equal([parsed.type, parsed.cursor, parsed.subject], [event, id, uuid])
    }

    await complete(parts, uuid)
    const back = await firstEvents(await stream(parts, '', { 'last-event-id': seen[0]?.id ?? '' }), 2)
    assert.equal(
      back.map(({ event }) => event),
      ['TaskStarted', 'TaskCompleted'],
    )
    const all = await firstEvents(await stream(parts, '?after=0'), 4)
    assert.equal(
      all.map(({ id }) => id),
      (await allEvents(parts)).map(cursorOf),
    )
  }))

test('pages of JSON lead through the log without a gap, and a poll waits for what comes', () =>
  withEvents(async (parts) => {
    assert.equal(await page(parts), { events: [], next: '0', at_end: true })
    const [one, other] = [await create(parts.app), await create(parts.app)]
    await start(parts, one.uuid)
    const cursors = (await allEvents(parts)).map(cursorOf)
    const found: string[] = []
    for (let [after, atEnd] = ['0', false]; !atEnd; ) {
      const { events, next, at_end } = await page(parts, `?after=${after}&limit=2`)
      found.push(...events.map(({ cursor }: { cursor: string }) => cursor))
      ;[after, atEnd] = [next, at_end]
    }
    assert.equal(found, cursors)
    assert.equal(await page(parts), { events: [], next: cursors.at(-1), at_end: true })

    const polling = page(parts, `?after=${cursors.at(-1)}&wait=30`)
    await start(parts, other.uuid)
    const { events, next } = await polling
    assert.equal([events.length, events[0].subject, events[0].cursor], [1, other.uuid, next])
    const startedAt = performance.now()
    assert.equal((await page(parts, `?after=${next}&wait=1&type=TaskDeleted`)).events, [])
    const took = performance.now() - startedAt
    assert.ok(took >= 900 && took < 4_900, `${took} ms`)
  }))

test('filters: by type, fractal and the state that an event leads to; what does not match still moves the place on', () =>
  withEvents(async (parts) => {
    const [one, other] = [await create(parts.app), await create(parts.app)]
    await start(parts, one.uuid)
    await complete(parts, one.uuid)
    await fail(parts, other.uuid)
    const typesOf = async (query: string) =>
      (await page(parts, `?after=0&${query}`)).events.map(({ type }: { type: string }) => type)
    assert.equal(await typesOf('type=TaskStarted,TaskFailed'), ['TaskStarted', 'TaskFailed'])
    assert.equal(await typesOf('type=TaskStarted&type=TaskFailed'), ['TaskStarted', 'TaskFailed'])
    assert.equal(await typesOf(`uuid=${other.uuid.toUpperCase()}`), ['TaskRequested', 'TaskFailed'])
    assert.equal(await typesOf('status=completed,failed'), ['TaskCompleted', 'TaskFailed'])
    assert.equal(await typesOf(`status=completed&uuid=${other.uuid}`), [])
    const { next } = await page(parts, '?after=0&type=TaskDeleted')
    assert.is(next, cursorOf((await allEvents(parts)).at(-1) ?? { seq: 0, id: '' }))
    const [first] = await firstEvents(await stream(parts, '?after=0&status=failed'), 1)
    assert.is(first?.event, 'TaskFailed')
    assert.equal((await page(parts, `?since=${inTime(30)}`)).events, [], 'clocks differ')
    assert.is((await page(parts, '?since=2020-01-31T12:00:00Z')).events.length, 5)
  }))

test('wrong questions are refused, each with what would be right', () =>
  withEvents(async (parts) => {
    await create(parts.app)
    for (const [query, says] of [
      ['?after=x', /after: expected a cursor/],
      ['?since=yesterday', /since: expected a time/],
      [`?since=${inTime(3_600)}`, /^cannot begin at 2.*Z: that is yet to come; expected a time that is past$/],
      ['?type=TaskDone', /type: expected event types \(TaskRequested/],
      ['?uuid=1', /uuid: expected uuids/],
      ['?status=done', /status: expected states \(requested/],
      ['?limit=0', /limit: expected a whole number from 1 to 1000/],
      ['?wait=61', /wait: expected a whole number from 0 to 60/],
      ['?from=1', /there is no "from" here/],
      ['?after=0&since=2026-01-31T12:00:00Z', /after or since, not both/],
    ] as const) {
      const [status, code, detail] = await refusal(parts, `/v1/events${query}`)
      assert.equal([status, code], [400, 'invalid-request'], query)
      assert.match(detail, says)
    }
    for (const after of ['1-00000000', '99-0198c3a1', '99']) {
      const [status, code, detail] = await refusal(parts, `/v1/events?after=${after}`)
      assert.equal([status, code], [410, 'log-replaced'])
      assert.match(detail, /begin anew, without it for what comes from now on, or with after=0 for everything/)
    }
    assert.is((await stream(parts, '', { 'last-event-id': '1-00000000' })).status, 410)
    assert.is((await stream(parts, `?since=${inTime(3_600)}`)).status, 400)
  }))

test('an event that this version cannot read stands in its place, and says why', () =>
  withEvents(async (parts) => {
    const { uuid } = await create(parts.app)
    const data = { generation: 1, reason: 'x' }
    await writeRaw(parts.server.url, { type: 'TaskCancelled', fractal: uuid, data }, { 'ce-schemaversion': '9' })
    await create(parts.app)
    const { events } = await page(parts, '?after=0')
    assert.is(events.length, 3)
    assert.equal(unreadableEventSchema.strict().parse(events[1]), events[1])
    assert.match(events[1].unreadable, /version 9 is newer/)
    const history = await json(parts.app.request(`/v1/fractal/${uuid}/events`))
    assert.equal(
      history.events.map(({ type }: { type: string }) => type),
      ['TaskRequested', 'TaskCancelled'],
    )
    const seen = await firstEvents(await stream(parts, '?after=0'), 3)
    assert.is(seen[1]?.event, 'TaskCancelled')
  }))

test('a fractal’s own stream has its history and what follows, and ends when it is deleted', () =>
  withEvents(async (parts) => {
    const { uuid } = await create(parts.app)
    await start(parts, uuid)
    const ask = (headers: Record<string, string> = {}) =>
      Promise.resolve(
        parts.app.request(`/v1/fractal/${uuid}/events`, { headers: { accept: 'text/event-stream', ...headers } }),
      )
    const response = await ask()
    await create(parts.app)
    await complete(parts, uuid)
    await parts.app.request(`/v1/fractal/${uuid}`, { method: 'DELETE' })
    const seen = await firstEvents(response, Number.POSITIVE_INFINITY)
    assert.equal(
      seen.map(({ event }) => event),
      ['TaskRequested', 'TaskStarted', 'TaskCompleted', 'TaskDeleted'],
    )
    const rest = await firstEvents(await ask({ 'last-event-id': seen[1]?.id ?? '' }), Number.POSITIVE_INFINITY)
    assert.equal(
      rest.map(({ event }) => event),
      ['TaskCompleted', 'TaskDeleted'],
    )
    assert.is((await ask({ 'last-event-id': seen.at(-1)?.id ?? '' })).status, 204)
    assert.equal((await refusal(parts, `/v1/fractal/${unknownUuid}/events`)).slice(0, 2), [404, 'not-found'])
  }))

test('progress: the state from the log, the share as workers say it, until it is finished', () =>
  withEvents(async (parts) => {
    const { uuid } = await create(parts.app)
    const path = `/v1/fractal/${uuid}/progress`
    const now = await json(parts.app.request(path))
    assert.equal(progressSchema.strict().parse(now), { uuid, generation: 1, status: 'requested', progress: null })
    const ask = (headers: Record<string, string> = {}) =>
      Promise.resolve(parts.app.request(path, { headers: { accept: 'text/event-stream', ...headers } }))
    const response = await ask()
    const seeing = firstEvents(response, Number.POSITIVE_INFINITY)
    await start(parts, uuid)
    for (const done of [1, 2, 3]) {
      announce(parts.broker, parts.broker.names.progress(uuid), { generation: 1, done, total: 4 })
      await parts.broker.nc().flush()
    }
    await complete(parts, uuid)
    const seen = (await seeing).map(({ event, data }) => [event, JSON.parse(data)])
    assert.ok(seen.every(([event]) => event === 'progress'))
    assert.equal(seen.at(-1)?.[1], { uuid, generation: 1, status: 'completed', progress: null })
    const shares = seen.map(([, { progress }]) => progress ?? 0)
    assert.equal(
      shares.slice(0, -1),
      shares.slice(0, -1).sort((a, b) => a - b),
    )
    const again = await firstEvents(await ask(), Number.POSITIVE_INFINITY)
    assert.is(again.length, 1)
    assert.is((await ask({ 'last-event-id': again[0]?.id ?? '' })).status, 204)
    await parts.app.request(`/v1/fractal/${uuid}`, { method: 'DELETE' })
    assert.equal((await refusal(parts, path)).slice(0, 2), [410, 'removed'])
    assert.equal((await refusal(parts, `/v1/fractal/${v4()}/progress`)).slice(0, 2), [404, 'not-found'])
  }))

test('an api that stops ends its streams', () =>
  withEvents(async (parts) => {
    const stop = new AbortController()
    const app = parts.another({ stopping: stop.signal })
    const response = await app.request('/v1/events', { headers: { accept: 'text/event-stream' } })
    const seeing = firstEvents(response, Number.POSITIVE_INFINITY)
    await post(app, '/v1/fractal', { width: 2, height: 2, iterations: 1, xa: 0, xb: 1, ya: 0, yb: 1 })
    setTimeout(() => stop.abort(), 200)
    assert.is((await seeing).length, 1)
  }))

test.run()
