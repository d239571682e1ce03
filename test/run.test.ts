import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ourProgram, root as projectRoot } from './support/project.ts'
import { parseSummaries } from './support/test-file.ts'

const uvu = `import { test } from 'uvu'\nimport * as assert from 'uvu/assert'\n`

type Run = { code: number; stdout: string; lastLine: string }

/** Runs the runner on a folder that holds just `files`, given by path and text. */
async function run(files: Record<string, string>, ...args: string[]): Promise<Run> {
  const root = await mkdtemp(join(tmpdir(), 'faafo-runner-'))
  try {
    await symlink(join(projectRoot, 'node_modules'), join(root, 'node_modules'))
    await writeFile(join(root, 'package.json'), '{"type":"module"}')
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(root, path)), { recursive: true })
      await writeFile(join(root, path), text)
    }
    const [command, first] = ourProgram('test/run')
    return await new Promise((resolve) => {
      execFile(command, [...first, '--root', root, ...args], { cwd: projectRoot }, (error, stdout) => {
        const lastLine = stdout.trimEnd().split('\n').at(-1) ?? ''
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, lastLine })
      })
    })
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

async function assertRefused(text: string, reason: RegExp, closing: string, ...args: string[]): Promise<void> {
  const result = await run({ 'test/lie.test.ts': text }, ...args)
  assert.is(result.code, 1, result.stdout)
  assert.match(result.stdout, reason)
  assert.is(result.lastLine, closing)
}

test('honest files pass and are counted', async () => {
  const result = await run(
    {
      'test/one.test.ts': `${uvu}test('a', () => {})\ntest('b', () => {})\ntest.run()\n`,
      'test/deep/er/two.test.ts': `${uvu}test('c', () => {})\ntest.run()\n`,
      'test/support/not-a-test.ts': 'process.exit(1)\n',
    },
    '--jobs',
    '2',
  )
  assert.is(result.code, 0, result.stdout)
  assert.is(result.lastLine, '3 passed, 0 failed')
})

test('--only runs the files whose path holds its text', async () => {
  const result = await run(
    {
      'test/one.test.ts': `${uvu}test('a', () => {})\ntest.run()\n`,
      'test/two.test.ts': `${uvu}test('b', () => assert.ok(false))\ntest.run()\n`,
    },
    '--only',
    'one',
  )
  assert.is(result.code, 0, result.stdout)
  assert.is(result.lastLine, '1 passed, 0 failed')
})

test('a failing test fails with its output shown, and the passing ones beside it still count', () =>
  assertRefused(
    `${uvu}test('a', () => {})\ntest('b', () => assert.is(1, 2, 'one is not two'))\ntest.run()\n`,
    /one is not two/,
    '1 passed, 1 failed',
  ))

test('a throwing before hook fails', () =>
  assertRefused(
    `${uvu}test.before(() => { throw new Error('x') })\ntest('a', () => {})\ntest('b', () => {})\ntest.run()\n`,
    /2 of 2 tests failed/,
    '0 passed, 2 failed',
  ))

test('a throwing after.each hook fails', () =>
  assertRefused(
    `${uvu}test.after.each(() => { throw new Error('x') })\ntest('a', () => {})\ntest.run()\n`,
    /1 of 1 tests failed/,
    '0 passed, 1 failed',
  ))

test('a file that never calls .run() fails', () =>
  assertRefused(`${uvu}test('a', () => {})\n`, /is \.run\(\) missing/, '0 passed, 1 failed'))

test('a file that exits with 0 before its tests have run fails', () =>
  assertRefused(
    `${uvu}test('a', () => {})\ntest.run()\nprocess.exit(0)\n`,
    /did not run to the end/,
    '0 passed, 1 failed',
  ))

test('a file that exits with 0 within a test fails', () =>
  assertRefused(`${uvu}test('a', () => process.exit(0))\ntest.run()\n`, /did not run to the end/, '0 passed, 1 failed'))

test('an empty file fails', () => assertRefused('', /did not run to the end/, '0 passed, 1 failed'))

test('a file without a test fails', () => assertRefused(`${uvu}test.run()\n`, /it ran no test/, '0 passed, 1 failed'))

test('a file that runs only some of its tests fails', () =>
  assertRefused(
    `${uvu}test.only('a', () => {})\ntest('b', () => {})\ntest.run()\n`,
    /1 tests were skipped/,
    '1 passed, 1 failed',
  ))

test('a skipped test fails', () =>
  assertRefused(
    `${uvu}test('a', () => {})\ntest.skip('b', () => {})\ntest.run()\n`,
    /1 tests were skipped/,
    '1 passed, 1 failed',
  ))

test('a file whose second suite is started late, which makes uvu forget the first, fails', () =>
  assertRefused(
    `${uvu}test('a', () => assert.ok(false))\ntest.run()\nawait new Promise((go) => setTimeout(go, 200))\n` +
      `test('b', () => {})\ntest.run()\n`,
    /is a \.run\(\) called late/,
    '0 passed, 1 failed',
  ))

test('an error thrown after the tests have passed fails', () =>
  assertRefused(
    `${uvu}test('a', () => { setTimeout(() => { throw new Error('late') }, 50) })\ntest.run()\n`,
    /it exited with 1/,
    '1 passed, 1 failed',
  ))

test('a file that does not compile fails', () => assertRefused('const = 1\n', /it exited with 1/, '0 passed, 1 failed'))

test('a file that hangs is ended with everything that it started', () =>
  assertRefused(
    `${uvu}import { spawn } from 'node:child_process'\n` +
      `test('a', () => { spawn('sleep', ['1000'], { detached: true }) })\ntest.run()\nsetInterval(() => {}, 1000)\n`,
    /it was ended after 12 s/,
    '1 passed, 1 failed',
    '--timeout',
    '12', // long enough for it to start on a machine that does much else
  ))

test('a process left behind fails, also one that left the process group', () =>
  assertRefused(
    `${uvu}import { spawn } from 'node:child_process'\n` +
      `test('a', () => { spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' }).unref() })\ntest.run()\n`,
    /it left processes running: \d+ sleep 1000/,
    '1 passed, 1 failed',
  ))

test('an empty folder fails', async () => {
  const result = await run({})
  assert.is(result.code, 1)
  assert.is(result.lastLine, '0 passed, 1 failed')
})

test('closing lines are read whatever their colours, and only whole ones', () => {
  const lines =
    '\n  Total:     3\n\u001b[32m  Passed:    2\u001b[39m\n  Skipped:   \u001b[33m1\u001b[39m\n  Duration:  1.00ms\n\n'
  assert.equal(parseSummaries(lines), [{ total: 3, passed: 2, skipped: 1 }])
  assert.equal(parseSummaries('  Total:     3\n  Passed:    3\n'), [])
})

test.run()
