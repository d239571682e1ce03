import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FaafoError } from '../../events/errors.ts'
import { isLoopback, parseConfig, withoutPassword } from '../../services/platform/config.ts'

/** The problems for which a start is refused. */
function problemsOf(...start: Parameters<typeof parseConfig>): string[] {
  try {
    parseConfig(...start)
  } catch (error) {
    assert.ok(error instanceof FaafoError && error.code === 'invalid-config')
    const problems = error.details.problems as string[]
    for (const problem of problems) assert.ok(error.message.includes(problem))
    return problems
  }
  return []
}

test('an empty environment gives the defaults', () => {
  const config = parseConfig({})
  assert.is(config.broker.url, undefined)
  assert.is(config.broker.replicas, undefined)
  assert.is(config.broker.namespace, '')
  assert.is(config.databaseUrl, undefined)
  assert.is(config.dataDir, resolve('.data'))
  assert.is(config.storageUrl, `file:${join(resolve('.data'), 'images')}`)
  assert.equal([config.host, config.port, config.authOff], ['127.0.0.1', 8080, false])
  assert.equal([config.workers, config.renderThreads, config.workerName], [1, undefined, hostname()])
  assert.equal([config.logLevel, config.logFormat], ['info', undefined])
})

test('an empty variable counts as one that is not set', () => {
  assert.equal(parseConfig({ PORT: '', NATS_URL: '', HOST: '', DATA_DIR: '', AUTH: '' }), parseConfig({}))
})

test('what is set is taken', () => {
  const config = parseConfig({
    NATS_URL: 'nats://a:4222, tls://b:4222',
    NATS_NAMESPACE: 'staging',
    NATS_REPLICAS: '3',
    DATABASE_URL: 'postgres://ada:secret@db/faafo',
    STORAGE_URL: 'nats-object:images',
    DATA_DIR: '/var/lib/faafo',
    PORT: '0',
    AUTH: 'off',
    COMPUTE_BUDGET: '1e9',
    WORKERS: '0',
    RENDER_THREADS: '4',
    UNRELATED: 'x',
  })
  assert.equal(
    [config.broker.url, config.broker.namespace, config.broker.replicas],
    ['nats://a:4222, tls://b:4222', 'staging', 3],
  )
  assert.equal([config.databaseUrl, config.storageUrl], ['postgres://ada:secret@db/faafo', 'nats-object:images'])
  assert.equal([config.dataDir, config.port, config.authOff], ['/var/lib/faafo', 0, true])
  assert.equal([config.computeBudget, config.workers, config.renderThreads], [1e9, 0, 4])
})

test('the configuration cannot be changed', () => {
  const config = parseConfig({})
  assert.ok(Object.isFrozen(config) && Object.isFrozen(config.broker))
})

test('every bad value is told, with what a good one looks like', () => {
  const problems = problemsOf({
    NATS_URL: 'localhost:4222',
    DATABASE_URL: 'mysql://db',
    STORAGE_URL: 'ftp://x',
    NATS_NAMESPACE: 'two words',
    NATS_REPLICAS: '0',
    PORT: '70000',
    WORKERS: 'many',
    COMPUTE_BUDGET: '-1',
    AUTH: 'on',
    LOG_LEVEL: 'loud',
    LOG_FORMAT: 'xml',
    WORKER_NAME: 'a b',
  })
  const names = problems.map((problem) => problem.split('=')[0])
  assert.equal(names.sort(), [
    ...['AUTH', 'COMPUTE_BUDGET', 'DATABASE_URL', 'LOG_FORMAT', 'LOG_LEVEL', 'NATS_NAMESPACE', 'NATS_REPLICAS'],
    ...['NATS_URL', 'PORT', 'STORAGE_URL', 'WORKERS', 'WORKER_NAME'],
  ])
  assert.ok(problems.includes('PORT=70000: expected a whole number from 0 to 65535'))
  assert.equal(problemsOf({ PORT: '6000' }), [
    'PORT=6000: browsers connect to no such port; expected another one, such as 8080',
  ])
  assert.ok(problems.includes('NATS_URL=localhost:4222: expected nats://host:4222, or several with commas between'))
})

test('a service that needs a variable says that it is not set', () => {
  assert.equal(problemsOf({}, ['NATS_URL', 'DATABASE_URL']), [
    'NATS_URL is not set: expected nats://host:4222',
    'DATABASE_URL is not set: expected postgres://user:password@host:5432/faafo',
  ])
  assert.equal(problemsOf({ NATS_URL: 'nats://x:1' }, ['NATS_URL']), [])
})

test('no message shows a password or a seed', () => {
  const problems = problemsOf({ DATABASE_URL: 'mysql://ada:secret@db', NATS_URL: 'http://ada:secret@b', PORT: 'x' })
  assert.is(problems.length, 3)
  assert.not.match(problems.join(), /secret/)
  assert.is(withoutPassword('nats://ada:secret@a,nats://b:hush@b'), 'nats://ada:…@a,nats://b:…@b')
})

test('loopback is what only this machine can reach', () => {
  for (const host of ['127.0.0.1', '127.8.8.8', 'localhost', '::1']) assert.ok(isLoopback(host))
  for (const host of ['0.0.0.0', '::', '192.168.0.1', '127.0.0.1.example.org', '']) assert.not.ok(isLoopback(host))
})

test.run()
