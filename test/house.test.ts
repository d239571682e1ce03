import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import process from 'node:process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type HouseRule,
  importsFlowOneWay,
  noBarrels,
  noHooksAndNothingLeftOut,
  nothingIsLeftForLater,
  onlyAdaptersImportNats,
  onlyMainReadsTheEnvironment,
  testsAreRun,
} from './support/house-rules.ts'
import { completeLock, type LockFile, missingFrom } from './support/lock-file.ts'
import { root } from './support/project.ts'
import { listFiles, loadedWith, parseSource, readSources } from './support/source-files.ts'

const sources = readSources(root)

const kept = (rule: HouseRule) => () => {
  assert.ok(sources.length > 10, 'the sources were not found')
  assert.equal(
    sources.flatMap((source) => rule(source).map((breach) => `${source.path}: ${breach}`)),
    [],
  )
}

/** How often `rule` is broken by a file of this path and text. */
const breaches = (rule: HouseRule, path: string, text: string) => rule(parseSource(path, text)).length

test('imports flow one way', kept(importsFlowOneWay))
test('nats is imported by platform and storage only', kept(onlyAdaptersImportNats))
test('the environment is read by main files and the command line only', kept(onlyMainReadsTheEnvironment))
test('no file only passes on what others export', kept(noBarrels))
test('every test file ends with .run()', kept(testsAreRun))
test('no test is left out and no hook is used', kept(noHooksAndNothingLeftOut))
test('nothing is left for later', kept(nothingIsLeftForLater))

test('what starts often loads few packages', () => {
  for (const [main, packages] of [
    ['services/cli/main.ts', ['commander', 'eventsource-parser/stream']],
    ['services/worker/thread-main.ts', []], // every thread would load its own
    ['services/worker/isolated-main.ts', []],
  ] as const) {
    const loaded = loadedWith(sources, main)
    assert.ok(loaded.includes('events/errors.ts'), main)
    assert.equal(
      loaded.filter((name) => !/^(events|services)\/|^node:/.test(name)),
      packages,
      main,
    )
  }
})

const page = (path: string) => readFileSync(join(root, path), 'utf8')
/** What a pattern finds in a file, its first group. */
const named = (path: string, pattern: RegExp) => [...page(path).matchAll(pattern)].map(([, name = '']) => name)

test('the README names every variable, the operating page every metric', () => {
  const variables = named('services/platform/config.ts', /^ {2}([A-Z_]+): /gm)
  const metrics = named('services/api/metrics.ts', /'(faafo_[a-z_]+)'/g)
  assert.ok(variables.length > 15 && metrics.length > 5, 'they were not found')
  const absent = (path: string, names: string[]) => names.filter((name) => !page(path).includes(`\`${name}\``))
  assert.equal([...absent('README.md', variables), ...absent('docs/operating.md', metrics)], [])
})

test('links from one page to another lead somewhere', () => {
  const pages = ['.', 'docs'].flatMap((folder) =>
    readdirSync(join(root, folder)).flatMap((name) => (name.endsWith('.md') ? [join(folder, name)] : [])),
  )
  const broken = pages.flatMap((path) =>
    named(path, /\]\(([^)#:]+)(?:#[^)]*)?\)/g)
      .filter((link) => !existsSync(join(root, dirname(path), link)))
      .map((link) => `${path}: ${link}`),
  )
  assert.equal([pages.length > 5, broken], [true, []])
})

test('files are named in kebab-case', () => {
  const kebab = /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)*$/
  assert.equal(
    listFiles(root).filter((path) => !path.split('/').every((name) => kebab.test(name))),
    [],
  )
})

test('an import against the flow is found, however it is written', () => {
  assert.is(breaches(importsFlowOneWay, 'events/a.ts', `import { x } from '../services/kernel/x.ts'`), 1)
  assert.is(breaches(importsFlowOneWay, 'events/a.ts', `export * from '../services/kernel/x.ts'`), 1)
  assert.is(breaches(importsFlowOneWay, 'services/api/a.ts', `import type { X } from '../worker/x.ts'`), 1)
  assert.is(breaches(importsFlowOneWay, 'services/api/a.ts', `const x = await import('../worker/x.ts')`), 1)
  assert.is(breaches(importsFlowOneWay, 'services/api/a.ts', `let x: import('../cli/x.ts').X`), 1)
  assert.is(breaches(importsFlowOneWay, 'services/platform/a.ts', `import '../storage/x.ts'`), 1)
  assert.is(breaches(importsFlowOneWay, 'services/api/a.ts', `import '../../test/support/x.ts'`), 1)
  assert.is(breaches(importsFlowOneWay, 'services/novel/a.ts', ''), 1)
})

test('an import along the flow is not found', () => {
  const text = `import '../../events/x.ts'; import '../storage/x.ts'; import '../web/x.ts'; import './y.ts'; import 'hono'`
  assert.is(breaches(importsFlowOneWay, 'services/api/a.ts', text), 0)
  assert.is(breaches(importsFlowOneWay, 'services/up/a.ts', `import '../api/x.ts'`), 0)
})

test('nats is found outside its places, in any disguise', () => {
  for (const name of ['nats', 'nats/lib/x.js', '@nats-io/jetstream']) {
    assert.is(breaches(onlyAdaptersImportNats, 'services/api/a.ts', `import type { X } from '${name}'`), 1)
    assert.is(breaches(onlyAdaptersImportNats, 'services/storage/a.ts', `import type { X } from '${name}'`), 0)
  }
  assert.is(breaches(onlyAdaptersImportNats, 'services/api/a.ts', `import { x } from 'natural'`), 0)
})

test('reading the environment is found outside its places', () => {
  for (const text of [
    'f(process.env)',
    'process.env.PORT',
    `import { env } from 'node:process'`,
    'Deno.env.get("x")',
  ]) {
    assert.is(breaches(onlyMainReadsTheEnvironment, 'services/api/a.ts', text), 1, text)
    assert.is(breaches(onlyMainReadsTheEnvironment, 'services/api/main.ts', text), 0)
    assert.is(breaches(onlyMainReadsTheEnvironment, 'services/worker/isolated-main.ts', text), 0)
    assert.is(breaches(onlyMainReadsTheEnvironment, 'services/cli/a.ts', text), 0)
  }
})

test('a barrel is found', () => {
  assert.is(breaches(noBarrels, 'events/all.ts', `export * from './a.ts'\nexport { b } from './b.ts'`), 1)
  assert.is(breaches(noBarrels, 'events/index.ts', 'export const a = 1'), 1)
  assert.is(breaches(noBarrels, 'events/a.ts', `export * from './a.ts'\nexport const a = 1`), 0)
})

test('a test file that runs nothing, or leaves something out, is found', () => {
  const uvu = `import { suite, test } from 'uvu'\nconst other = suite('other')\n`
  assert.is(breaches(testsAreRun, 'test/a.test.ts', `${uvu}test('a', () => {})`), 1)
  assert.is(breaches(testsAreRun, 'test/a.test.ts', `${uvu}test.run()\ntest('a', () => {})`), 1)
  assert.is(breaches(testsAreRun, 'test/a.test.ts', `${uvu}test('a', () => {})\ntest.run()\n`), 0)
  for (const call of ['test.only', 'other.skip', 'test.before', 'other.after.each']) {
    assert.is(breaches(noHooksAndNothingLeftOut, 'test/a.test.ts', `${uvu}${call}(() => {})`), 1, call)
  }
})

test('the lock file names every optional package of every platform', () => {
  const lock: LockFile = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  assert.equal(missingFrom(lock), [], 'run `npm run lock:complete`')
})

test('a lock file is completed with what the names of the missing packages tell', () => {
  const lock: LockFile = {
    lockfileVersion: 3,
    packages: {
      '': { version: '1.0.0' },
      'node_modules/tool': {
        version: '2.0.0',
        dev: true,
        optionalDependencies: {
          '@tool/cli-linux-x64-musl': '2.0.0',
          '@tool/cli-win32-arm64': '2.0.0',
          fsevents: '~2.3.0',
        },
      },
      'node_modules/tool/node_modules/fsevents': { version: '2.3.3' },
      'node_modules/zebra': { version: '1.0.0' },
    },
  }
  const completed = completeLock(lock)
  assert.equal(missingFrom(completed), [])
  assert.equal(Object.keys(completed.packages), [
    '',
    'node_modules/@tool/cli-linux-x64-musl',
    'node_modules/@tool/cli-win32-arm64',
    'node_modules/tool',
    'node_modules/tool/node_modules/fsevents',
    'node_modules/zebra',
  ])
  assert.equal(completed.packages['node_modules/@tool/cli-linux-x64-musl'], {
    version: '2.0.0',
    cpu: ['x64'],
    dev: true,
    libc: ['musl'],
    optional: true,
    os: ['linux'],
  })
  lock.packages['node_modules/odd'] = { optionalDependencies: { 'odd-native': '1.0.0' } }
  assert.throws(() => completeLock(lock), /the platform of odd-native 1\.0\.0/)
})

test('of the two compilers side by side it is the native one that tsc runs', () => {
  const tsc = join(root, 'node_modules/.bin/tsc')
  const program = process.platform === 'win32' ? readFileSync(tsc, 'utf8') : realpathSync(tsc)
  assert.match(program.replaceAll('\\', '/'), '@typescript/native/')
})

test('the program that npx starts is committed, executable and a script of node', () => {
  const { bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const launcher = join(root, bin.faafo)
  assert.match(readFileSync(launcher, 'utf8'), /^#!\/usr\/bin\/env node\n/)
  assert.is.not(statSync(launcher).mode & 0o111, 0)
  assert.not.match(bin.faafo, /^dist\//)
  assert.is(basename(launcher), 'faafo.js')
})

test.run()
