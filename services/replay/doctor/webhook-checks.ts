import { webhooksOf } from '../../platform/webhooks.ts'
import { type Examined, ok, warning, wrong } from './diagnosis.ts'
import { type Patient, patiently, present } from './patient.ts'

/** Whether somebody delivers to webhooks, and to all that nobody has paused. */
export async function checkWebhooks(patient: Patient): Promise<Examined> {
  const { broker, version } = patient
  await version()
  const { all } = webhooksOf(broker)
  const there = await patiently(all)
  const active = there.filter(({ state }) => state === 'active')
  const subscribers = await present(patient, 'subscribers', active.length > 0)
  if (active.length > 0 && subscribers.length === 0) {
    return wrong(
      'webhooks',
      `there are active ones (${active.length}), and nobody answers who delivers to them`,
      'faafo subscribers',
    )
  }
  const given = there.filter(
    ({ state, pausedBy }) => state === 'disabled' || (pausedBy !== null && pausedBy !== 'user'),
  )
  const [first] = given
  if (!first)
    return ok('webhooks', there.length === 0 ? 'there are none' : `${active.length} of ${there.length} active`)
  const text = `${given.length} of ${there.length} stopped by themselves; ${first.id} is ${first.state}: ${first.reason}`
  return warning('webhooks', text, `faafo webhook resume ${first.id}`)
}
