/** Resolves once `condition` holds; throws, saying what was waited for, when it does not within `withinMs`. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  {
    what,
    withinMs = 90_000,
    everyMs = 20,
  }: { what: string | (() => string | Promise<string>); withinMs?: number; everyMs?: number },
): Promise<void> {
  const deadline = Date.now() + withinMs
  while (!(await condition())) {
    if (Date.now() > deadline) {
      throw new Error(`waited ${withinMs} ms in vain until: ${typeof what === 'string' ? what : await what()}`)
    }
    await new Promise((done) => setTimeout(done, everyMs))
  }
}
