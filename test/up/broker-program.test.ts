import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import { freePort } from '../../services/platform/ports.ts'
import { PINNED_RELEASE } from '../../services/up/broker-fetch.ts'
import { type FindBrokerOptions, findBroker } from '../../services/up/broker-program.ts'
import { downloadChecked } from '../../services/up/checked-download.ts'
import { withTempDir } from '../support/temp.ts'

/** A program that says it is this version of nats-server. */
async function fakeServer(dir: string, version: string): Promise<string> {
  await mkdir(dir, { recursive: true })
  const program = join(dir, 'nats-server')
  await writeFile(program, `#!/bin/sh\necho "nats-server: v${version}"\n`)
  await chmod(program, 0o755)
  return program
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** The archive of a release, as GitHub has it. */
async function releaseArchive(dir: string): Promise<Buffer> {
  const name = `nats-server-v${PINNED_RELEASE.version}-linux-amd64`
  await fakeServer(join(dir, name), PINNED_RELEASE.version)
  await writeFile(join(dir, name, 'LICENSE'), 'words')
  execFileSync('tar', ['-czf', join(dir, 'archive.tar.gz'), '-C', dir, name])
  return readFile(join(dir, 'archive.tar.gz'))
}

async function withHttp<T>(answer: RequestListener, use: (url: string) => Promise<T>): Promise<T> {
  const server = createServer(answer)
  const port = await freePort()
  await new Promise<void>((done) => server.listen(port, '127.0.0.1', done))
  try {
    return await use(`http://127.0.0.1:${port}`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

const options = (dir: string, others: Partial<FindBrokerOptions>): FindBrokerOptions => ({
  path: [],
  systemDirs: [],
  cacheDir: join(dir, 'cache'),
  downloadUrl: 'http://127.0.0.1:1',
  platform: 'linux',
  arch: 'x64',
  apt: false,
  ...others,
})
const failure = (given: FindBrokerOptions): Promise<unknown> =>
  findBroker(given).then(
    (found) => found,
    (error) => error,
  )

test('NATS_SERVER_BIN is taken before everything else', () =>
  withTempDir(async (dir) => {
    const explicit = await fakeServer(join(dir, 'explicit'), '2.15.1')
    await fakeServer(join(dir, 'path'), '2.10.0')
    const found = await findBroker(options(dir, { explicit, path: [join(dir, 'path')] }))
    assert.equal(found, { program: explicit, version: '2.15.1', origin: 'NATS_SERVER_BIN' })
  }))

test('a NATS_SERVER_BIN that does not run is an error, whatever else there is', () =>
  withTempDir(async (dir) => {
    await fakeServer(join(dir, 'path'), '2.10.0')
    const path = [join(dir, 'path')]
    const missing = await failure(options(dir, { explicit: join(dir, 'missing'), path }))
    assert.ok(isFaafoError(missing, 'broker-not-found'))
    assert.match(missing.message, /NATS_SERVER_BIN=/)
    assert.ok(isFaafoError(await failure(options(dir, { explicit: '/bin/true', path })), 'broker-not-found'))
    const old = await fakeServer(join(dir, 'old'), '2.9.9')
    assert.ok(isFaafoError(await failure(options(dir, { explicit: old, path })), 'log-unsupported'))
  }))

test('PATH is searched before the system folders, and a program too old is passed over', () =>
  withTempDir(async (dir) => {
    await fakeServer(join(dir, 'old'), '2.8.4')
    await fakeServer(join(dir, 'system'), '2.9.10')
    await fakeServer(join(dir, 'path'), '2.10.1')
    const path = [join(dir, 'nothing'), join(dir, 'old'), join(dir, 'path')]
    assert.is((await findBroker(options(dir, { path, systemDirs: [join(dir, 'system')] }))).version, '2.10.1')
    const said: string[] = []
    const report = (line: string) => void said.push(line)
    const found = await findBroker(
      options(dir, { path: [join(dir, 'old')], systemDirs: [join(dir, 'system')], report }),
    )
    assert.is(found.version, '2.9.10')
    assert.match(said.join(), /2\.8\.4.*2\.9\.10 or later is needed/)
  }))

test('the official release is fetched once, checked, and then found in the cache', () =>
  withTempDir(async (dir) => {
    const archive = await releaseArchive(dir)
    const asked: (string | undefined)[] = []
    await withHttp(
      ({ url }, answer) => {
        asked.push(url)
        answer.end(archive)
      },
      async (downloadUrl) => {
        const given = options(dir, { downloadUrl: `${downloadUrl}/`, sha256: { 'linux-amd64': sha256(archive) } })
        const fetched = await findBroker(given)
        assert.is(fetched.origin, 'download')
        assert.is(fetched.version, PINNED_RELEASE.version)
        assert.equal(await findBroker(given), { ...fetched, origin: 'cache' })
      },
    )
    const { version } = PINNED_RELEASE
    assert.equal(asked, [`/v${version}/nats-server-v${version}-linux-amd64.tar.gz`])
  }))

test('an archive with another checksum is not unpacked', () =>
  withTempDir(async (dir) => {
    const archive = await releaseArchive(dir)
    await withHttp(
      (_, answer) => answer.end(archive),
      async (downloadUrl) => {
        const error = await failure(options(dir, { downloadUrl }))
        assert.ok(isFaafoError(error, 'broker-not-found'))
        assert.match(error.message, /SHA-256/)
      },
    )
    assert.equal(await readdir(join(dir, 'cache')), [])
  }))

test('where nothing can be had the error names what was tried and every way out', () =>
  withTempDir(async (dir) => {
    const error = await failure(options(dir, {}))
    assert.ok(isFaafoError(error, 'broker-not-found'))
    for (const word of ['official release', 'distribution', 'apt', 'brew', 'docker', 'NATS_URL', 'NATS_SERVER_BIN'])
      assert.match(error.message, word)
    const elsewhere = await failure(options(dir, { platform: 'darwin', arch: 'arm64' }))
    assert.ok(isFaafoError(elsewhere, 'broker-not-found'))
    assert.match(elsewhere.message, 'none is fetched for darwin-arm64')
  }))

test('a search that is called off ends with that reason', () =>
  withTempDir(async (dir) => {
    const controller = new AbortController()
    await withHttp(
      () => controller.abort(new Error('called off')),
      async (downloadUrl) => {
        const error = await failure(options(dir, { downloadUrl, signal: controller.signal }))
        assert.match(String(error), 'called off')
      },
    )
  }))

test('a download that is refused, answered badly, silent or stalled fails and leaves no file', () =>
  withTempDir(async (dir) => {
    const file = join(dir, 'archive')
    const reason = (url: string): Promise<string> =>
      downloadChecked({ url, file, sha256: sha256(Buffer.from('')), connectMs: 300, stallMs: 300 }).then(
        () => 'fetched',
        (error) => error.message,
      )
    assert.match(await reason(`http://127.0.0.1:${await freePort()}/`), 'ECONNREFUSED')
    await withHttp(
      (_, answer) => answer.writeHead(404).end(),
      async (url) => assert.match(await reason(url), 'answered 404'),
    )
    await withHttp(
      (_, answer) => answer.write('some'),
      async (url) => assert.match(await reason(url), 'nothing came for 0.3 s'),
    )
    const silent = createTcpServer()
    await new Promise<void>((done) => silent.listen(0, '127.0.0.1', done))
    const address = silent.address()
    const port = typeof address === 'object' && address ? address.port : 0
    assert.match(await reason(`http://127.0.0.1:${port}/`), 'no answer within 0.3 s')
    silent.close()
    assert.equal(await readdir(dir), [])
  }))

test.run()
