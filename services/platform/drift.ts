/** A setting at the broker that is not as our services make it. */
export type Drift = Pick<Rule<object>, 'harm' | 'mends'> & { setting: string; is: unknown; right: unknown }

/**
 * What a setting has to be. `mends`: whether it can be changed in place, or takes a thing that is made anew (because the
 * broker refuses the change, or because of what was passed over meanwhile), or cannot be mended here.
 */
export type Rule<C extends object> = {
  setting: keyof C & string
  right: unknown
  /** What comes of it where it is not so. */
  harm: string
  mends: 'in-place' | 'anew' | 'never'
  /** Whether another value does no harm, either. */
  isFine?: (config: C) => boolean
}

export const driftOf = <C extends object>(config: C, rules: readonly Rule<C>[]): Drift[] =>
  rules
    .filter(({ setting, right, isFine }) => !isSame(config[setting], right) && !isFine?.(config))
    .map(({ setting, right, harm, mends }) => ({ setting, is: config[setting], right, harm, mends }))

/** As one sentence; no drift is none. */
export const driftText = (drifts: readonly Drift[]): string =>
  drifts
    .map(({ setting, is, right, harm }) => `${setting} is ${show(is)} instead of ${show(right)}: ${harm}`)
    .join('; ')

/** The settings that can be changed in place, as they have to be. */
export const inPlace = (drifts: readonly Drift[]): Record<string, unknown> =>
  Object.fromEntries(drifts.filter(({ mends }) => mends === 'in-place').map(({ setting, right }) => [setting, right]))

const isSame = (a: unknown, b: unknown) => (isNothing(a) && isNothing(b)) || show(a) === show(b)

/** What brokers of different versions leave out, or write as 0, '' or []. */
const isNothing = (value: unknown) => !value || (Array.isArray(value) && value.length === 0)

const show = (value: unknown) => JSON.stringify(value) ?? 'not set'
