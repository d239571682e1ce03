import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import postgres from 'postgres'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { message, query, SYNC } from '../../services/up/postgres-wire.ts'
import { type PgliteServer, startPgliteServer } from '../../services/up/pglite-server.ts'
import { withClient } from '../support/database.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'
import { type WireClient, wireClient } from '../support/wire-client.ts'

const run = promisify(execFile)

const IDLE_MS = 500

type Served = { url: string; port: number; server: PgliteServer }

/** One server for the tests of this file: the first opening of a folder takes seconds. */
const stopped = Promise.withResolvers<void>()
const { promise: started, resolve: start, reject: refuse } = Promise.withResolvers<Served>()
const finished = withTempDir(async (dir) => {
  const server = await startPgliteServer({
    dataDir: join(dir, 'database'),
    port: 0,
    idleInTransactionMs: IDLE_MS,
    turnWaitMs: 3_000,
  })
  start({ url: `postgres://postgres@127.0.0.1:${server.port}/postgres`, port: server.port, server })
  await stopped.promise
  await server.close()
}).catch(refuse)
