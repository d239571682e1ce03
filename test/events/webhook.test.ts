import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type ErrorCode, FaafoError } from '../../events/errors.ts'
import {
  decide,
  evolve,
  fold,
  type NewWebhookEvent,
  type Webhook,
  type WebhookCommand,
  type WebhookEvent,
  type WebhookSettings,
} from '../../events/webhook.ts'

const id = '9b2f0f5e-3c1d-4d57-8a06-2f8a2f6f3a10'
const settings: WebhookSettings = { url: 'https://example.org/', description: '', types: [], status: [], uuid: [] }
const startTime = Date.parse('2026-11-23T10:00:00Z')

const at = (version: number) => ({ aggregate: id, version })
const created = { ...at(1), type: 'WebhookCreated', data: { ...settings, after: '42-1f2e3d4c' } } as const
const paused = (version: number, by: 'user' | 'delivery' | 'positions-lost' = 'user'): NewWebhookEvent => ({
  ...{ ...at(version), type: 'WebhookPaused', data: { reason: 'a reason', by } },
})
const resumed = (version: number, after: string | null = null): NewWebhookEvent => ({
  ...{ ...at(version), type: 'WebhookResumed', data: { after } },
})
const disabled = (version: number): NewWebhookEvent => ({
  ...{ ...at(version), type: 'WebhookDisabled', data: { reason: 'it answered 410' } },
})
const replayed = (version: number, after: string): NewWebhookEvent => ({
  ...{ ...at(version), type: 'WebhookReplayed', data: { after } },
})
const retried = (version: number): NewWebhookEvent => ({
  ...{ ...at(version), type: 'WebhookParkedRetried', data: { cursors: null, uuid: null } },
})
const deleted = (version: number): NewWebhookEvent => ({ ...at(version), type: 'WebhookDeleted', data: {} })

const recorded = (event: NewWebhookEvent): WebhookEvent => {
  const recordedAt = startTime + event.version * 1000
  const eventId = `00000000-0000-4000-8000-${String(event.version).padStart(12, '0')}`
  const time = new Date(recordedAt).toISOString()
  return { ...event, id: eventId, source: '/test', time, seq: event.version, recordedAt }
}
const after = (...events: NewWebhookEvent[]) => fold(events.map(recorded))

const given = (...events: NewWebhookEvent[]) => ({
  when: (command: WebhookCommand) => ({
    // biome-ignore lint/suspicious/noThenProperty: given, when, then
    then(...expected: NewWebhookEvent[]) {
      assert.equal(decide(command, id, after(...events)), expected)
    },
    thenRefused(code: ErrorCode) {
      try {
        decide(command, id, after(...events))
      } catch (error) {
        return assert.is(error instanceof FaafoError && error.code, code)
      }
      assert.unreachable('it was not refused')
    },
  }),
})

const create: WebhookCommand & { type: 'create' } = { type: 'create', ...settings, after: '42-1f2e3d4c' }
const pause: WebhookCommand = { type: 'pause', reason: 'a reason', by: 'user' }
const resume: WebhookCommand = { type: 'resume', now: '99-0a0b0c0d' }

test('a webhook is created once; the same again changes nothing, another one of its id is refused', () => {
  given().when(create).then(created)
  given(created).when(create).then()
  given(created)
    .when({ ...create, after: '50-00000000' })
    .then() // when it was asked is no difference
  given(created)
    .when({ ...create, url: 'https://example.com/' })
    .thenRefused('already-exists')
  given(created, deleted(2)).when(create).thenRefused('already-exists')
})

test('the same is what was asked for at first, whatever was changed since', () => {
  const url = 'https://example.com/'
  const changed: NewWebhookEvent = { ...at(2), type: 'WebhookChanged', data: { ...settings, url } }
  const [one, other] = ['1', '2'].map((digit) => ({ requestHash: digit.repeat(64) }))
  const hashed: NewWebhookEvent = { ...created, data: { ...created.data, ...one } }
  given()
    .when({ ...create, ...one })
    .then(hashed)
  given(hashed, changed)
    .when({ ...create, ...one })
    .then()
  given(hashed, changed)
    .when({ ...create, ...other })
    .thenRefused('already-exists')
  for (const command of [create, { ...create, ...one }]) {
    given(created, changed).when(command).then() // which was written without a hash
    given(created, changed)
      .when({ ...command, url })
      .thenRefused('already-exists')
  }
})

test('what is changed is recorded whole, and nothing where nothing changes', () => {
  const url = 'https://example.com/'
  given(created)
    .when({ type: 'change', settings: { url } })
    .then({ ...at(2), type: 'WebhookChanged', data: { ...settings, url } })
  given(created)
    .when({ type: 'change', settings: { url: settings.url } })
    .then()
})

test('it is paused and resumed, and goes on where it was', () => {
  given(created).when(pause).then(paused(2))
  given(created, paused(2)).when(pause).then()
  given(created, paused(2)).when(resume).then(resumed(3))
  given(created).when(resume).then()
  given(created, disabled(2)).when(pause).thenRefused('illegal-transition')
  given(created, disabled(2)).when(resume).then(resumed(3))
  const webhook = after(created, paused(2), resumed(3))
  assert.equal(webhook?.start, { after: '42-1f2e3d4c', version: 1 })
  assert.is(webhook?.resumed, 3)
})

test('with its position lost it begins with what comes from now on, or where a replay said', () => {
  given(created, paused(2, 'positions-lost')).when(resume).then(resumed(3, '99-0a0b0c0d'))
  given(created, paused(2, 'positions-lost'), replayed(3, '7')).when(resume).then(resumed(4))
  const webhook = after(created, paused(2, 'positions-lost'), resumed(3, '99-0a0b0c0d'))
  assert.equal(webhook?.start, { after: '99-0a0b0c0d', version: 3 })
  assert.is(webhook?.isLost, false)
})

test('a replay, a rotation, a retry and an end are recorded', () => {
  given(created).when({ type: 'replay', after: '7' }).then(replayed(2, '7'))
  given(created)
    .when({ type: 'rotate', overlap: 60 })
    .then({ ...at(2), type: 'WebhookSecretRotated', data: { overlap: 60 } })
  given(created).when({ type: 'retry-parked', cursors: null, uuid: null }).then(retried(2))
  given(created).when({ type: 'disable', reason: 'it answered 410' }).then(disabled(2))
  given(created, disabled(2)).when({ type: 'disable', reason: 'it answered 410' }).then()
  assert.equal(after(created, replayed(2, '7'))?.start, { after: '7', version: 2 })
  assert.equal(after(created, retried(2))?.retries, [{ version: 2, cursors: null, uuid: null }])
})

test('a deleted one is none any more', () => {
  given(created).when({ type: 'delete' }).then(deleted(2))
  given(created, deleted(2)).when({ type: 'delete' }).then()
  given(created, deleted(2)).when(pause).thenRefused('not-found')
  given().when({ type: 'delete' }).thenRefused('not-found')
})

test('states and reasons are told', () => {
  assert.is(after(created, paused(2, 'delivery'))?.pausedBy, 'delivery')
  assert.is(after(created, paused(2, 'delivery'), resumed(3))?.pausedBy, null)
  const state = (webhook: Webhook | null) => webhook && [webhook.state, webhook.reason]
  assert.equal(state(after(created)), ['active', null])
  assert.equal(state(after(created, paused(2))), ['paused', 'a reason'])
  assert.equal(state(after(created, disabled(2))), ['disabled', 'it answered 410'])
  assert.equal(state(after(created, disabled(2), resumed(3))), ['active', null])
})

test('what is seen twice, or has no place, changes nothing', () => {
  const all = [created, paused(2), resumed(3), replayed(4, '7'), retried(5), disabled(6), resumed(7), deleted(8)]
  const events = all.map(recorded)
  fc.assert(
    fc.property(fc.array(fc.nat(events.length - 1), { maxLength: 30 }), (picks) => {
      let [webhook, until] = [null as Webhook | null, 0]
      for (const pick of picks) {
        const event = events[Math.min(pick, until)] as WebhookEvent
        webhook = evolve(webhook, event)
        if (pick >= until) until = Math.min(until + 1, events.length - 1)
        assert.is(webhook?.version, after(...all.slice(0, Math.max(webhook?.version ?? 1, 1)))?.version)
        assert.equal(webhook, after(...all.slice(0, webhook?.version ?? 1)))
      }
    }),
  )
})

test.run()
