import { Writable } from 'node:stream'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createProgressReport, summaryOf } from '../../services/cli/progress-report.ts'
import { fractal, requested } from './scripted-api.ts'

const rendering = requested({ status: 'rendering', progress: 0.5 })
const failed = requested({ status: 'failed' })

/** A stream that keeps what is written to it. */
function paper(isTTY: boolean) {
  let text = ''
  const write = (chunk: unknown, _: unknown, done: () => void) => {
    text += chunk
    done()
  }
  return { stream: Object.assign(new Writable({ write, decodeStrings: false }), { isTTY }), text: () => text }
}

test('the share done counts finished and removed fractals whole, and rendering ones in part', () => {
  assert.equal(summaryOf([fractal(), rendering, requested()], 1), {
    share: 2.5 / 4,
    over: false,
    text: '1 of 4 finished, 1 deleted',
  })
  assert.is(summaryOf([fractal(), failed], 0).text, '2 of 2 finished, 1 failed')
  assert.is(summaryOf([], 0).share, 1)
  assert.ok(summaryOf([fractal(), failed], 1).over)
})

test('without a terminal there are few lines, and always one at the end', () => {
  const { stream, text } = paper(false)
  const report = createProgressReport(stream)
  for (let i = 0; i < 100; i++) report.update(summaryOf([fractal(), rendering], 0))
  report.update(summaryOf([fractal(), failed], 0))
  report.stop()
  assert.is(text(), 'rendering: 100 %, 2 of 2 finished, 1 failed\n')
})

test('a terminal that cannot move its cursor gets lines, too', () => {
  const { stream, text } = paper(true)
  const report = createProgressReport(stream, 'dumb')
  report.update(summaryOf([fractal()], 0))
  report.stop()
  assert.is(text(), 'rendering: 100 %, 1 of 1 finished\n')
})

test('on a terminal there is a bar, and the cursor is back at its end', () => {
  const { stream, text } = paper(true)
  const report = createProgressReport(stream)
  report.update(summaryOf([rendering, fractal()], 0))
  report.stop()
  assert.ok(text().includes('75 %'), JSON.stringify(text()))
  assert.ok(text().lastIndexOf('\u001b[?25h') > text().lastIndexOf('\u001b[?25l'), JSON.stringify(text()))
})

test.run()
