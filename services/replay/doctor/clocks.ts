import type { ClockOffset, Heard } from '../../platform/roll-call.ts'
import { type Examined, ok, warning, wrong } from './diagnosis.ts'
import type { Patient } from './patient.ts'

/** Clocks that differ by less are not told. */
const SKEW_MS = 2_000
/** From here on moments that people see make no sense. */
const WRONG_MS = 60_000

export async function checkClocks({ roll, brokerClock }: Patient): Promise<Examined> {
  return clocksOf(await roll(), await brokerClock())
}

/**
 * Every clock against the broker's, whose time the log has. A clock is known to within the time that an answer took, and
 * only what is beyond that is told, so that no slow network is taken for a clock that is wrong.
 */
export function clocksOf(heard: readonly Heard[], broker: ClockOffset): Examined {
  const clocks = [
    { who: 'this machine', skew: skewOf({ least: 0, most: 0 }, broker) },
    ...heard.map(({ service, name, host, clock }) => ({
      who: `${service} ${name === host ? host : `${name} on ${host}`}`,
      skew: skewOf(clock, broker),
    })),
  ]
  const astray = clocks.filter(({ skew }) => Math.abs(skew) > SKEW_MS)
  if (astray.length === 0) return ok('clocks', `${clocks.length} that were asked are within 2 s of the broker's`)
  const texts = astray.map(
    ({ who, skew }) => `${who} is ${(Math.abs(skew) / 1000).toFixed(1)} s or more ${skew > 0 ? 'ahead' : 'behind'}`,
  )
  const tell = astray.some(({ skew }) => Math.abs(skew) > WRONG_MS) ? wrong : warning
  return tell(
    'clocks',
    `compared with the broker's clock ${texts.join(', ')}`,
    'set the clocks of those machines (NTP)',
  )
}

/** The least by which a clock can be ahead (or, below 0, behind) of the broker's; 0 where they may be the same. */
function skewOf(clock: ClockOffset, broker: ClockOffset): number {
  const [least, most] = [clock.least - broker.most, clock.most - broker.least]
  return least > 0 ? least : Math.min(most, 0)
}
