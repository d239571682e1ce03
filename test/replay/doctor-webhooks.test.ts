import { randomUUID } from 'node:crypto'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { identify } from '../../services/platform/identity.ts'
import { answerRollCall } from '../../services/platform/roll-call.ts'
import { type AppendWebhookEvent, changeWebhook, createWebhook, webhooksOf } from '../../services/platform/webhooks.ts'
import { withClinic } from './clinic.ts'

test('webhooks that nobody delivers to, and those that stopped by themselves, are found', () =>
  withClinic(async (p) => {
    const { broker } = p.parts
    const found = async () => (await p.doctor()).findings.find(({ check }) => check === 'webhooks')
    assert.is((await found())?.found, 'there are none')
    const webhooks = webhooksOf(broker)
    const append: AppendWebhookEvent = (event) => webhooks.append(identify(event, '/test'))
    const settings = { url: 'https://example.org/', description: '', types: [], status: [], uuid: [], after: '0' }
    const id = v4()
    await createWebhook(webhooks, id, settings, append)
    const without = await found()
    assert.equal([without?.severity, without?.remedy], ['wrong', 'faafo subscribers'])

    const stop = new AbortController()
    const self = { service: 'subscribers', id: randomUUID(), name: 'h', host: 'h', version: '0.1.0' } as const
    answerRollCall(broker, () => self, stop.signal)
    assert.equal([(await found())?.severity, (await found())?.found], ['ok', '1 of 1 active'])
    await changeWebhook(webhooks, id, { type: 'pause', by: 'user', reason: 'holidays' }, append)
    assert.is((await found())?.severity, 'ok')
    await changeWebhook(webhooks, id, { type: 'resume', now: '0' }, append)
    await changeWebhook(webhooks, id, { type: 'pause', by: 'delivery', reason: 'it answered 500' }, append)
    const paused = await found()
    assert.equal([paused?.severity, paused?.remedy], ['warning', `faafo webhook resume ${id}`])
    assert.match(paused?.found ?? '', /is paused: it answered 500$/)
    stop.abort()
  }))

test.run()
