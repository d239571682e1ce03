import { once } from 'node:events'
import process from 'node:process'
import { createInterface } from 'node:readline'
import type { RenderJob } from '../kernel/description.ts'
import { renderPng } from '../kernel/render.ts'
import { type Failure, failureOf } from './failure.ts'
import { announceRender } from './rendering.ts'

/*
 * Renders one picture in a process of its own (isolated.ts starts it):
 *
 *   standard input    the RenderJob as one line of JSON; it then stays open, and where it ends the parent is gone
 *   standard output   the PNG
 *   standard error    lines of JSON, each a Report; whatever else stands there is somebody's warning
 */
export type Report = { rows: number } | { pixelChecksum: string } | Failure

const REPORT_MS = 250

const report = (line: Report) => process.stderr.write(`${JSON.stringify(line)}\n`)

async function render(job: RenderJob): Promise<void> {
  announceRender(job)
  let reportedAt = performance.now()
  const onRows = (rows: number) => {
    if (performance.now() - reportedAt < REPORT_MS) return
    reportedAt = performance.now()
    report({ rows })
  }
  // A signal, though it never fires, gives the event loop its turns: so the input's end is heard.
  const picture = renderPng(job, { signal: new AbortController().signal, onRows })
  let next = await picture.next()
  for (; !next.done; next = await picture.next()) {
    if (!process.stdout.write(next.value)) await once(process.stdout, 'drain')
  }
  report({ pixelChecksum: next.value.pixelChecksum })
}

const input = createInterface({ input: process.stdin })
input.on('close', () => process.exit(1))
input.once('line', async (line) => {
  try {
    await render(JSON.parse(line))
  } catch (error) {
    report(failureOf(error))
  } finally {
    process.stdout.end(() => process.stderr.end(() => process.exit(0)))
  }
})
