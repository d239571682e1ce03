import { spawn } from 'node:child_process'
import process from 'node:process'
import { count } from 'drizzle-orm'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readCheckpoint } from '../../services/platform/checkpoint.ts'
import { fractal } from '../../services/platform/schema.ts'
import { rebuild } from '../../services/projector/rebuild.ts'
import { withBroker } from '../support/broker.ts'
import { compareWithLog } from '../support/compare-with-log.ts'
import { withPostgres } from '../support/database.ts'
import { generateLog } from '../support/generated-log.ts'
import { launcher } from '../support/project.ts'
import { withReadModel } from '../support/read-model.ts'
import { seededRandom } from '../support/seeded-random.ts'

/*
 * With as many events and as many kills as one may have:
 * REBUILD_EVENTS=999999 REBUILD_KILLS=20 npx tsx test/flow/rebuild.test.ts
 */
const EVENTS = Number(process.env.REBUILD_EVENTS ?? 30_000)
const KILLS = Number(process.env.REBUILD_KILLS ?? 4)
const SEED = Number(process.env.REBUILD_SEED ?? Math.floor(Math.random() * 2 ** 31))

test('a rebuild killed at any moment leaves what is served untouched, and the next one succeeds', () =>
  withBroker((server) =>
    withPostgres((database) =>
      withReadModel({ natsUrl: server.url, databaseUrl: database.url }, async (parts) => {
        console.log(`seed ${SEED}`)
        const random = seededRandom(SEED)
        await generateLog(server.url, EVENTS)
        const signal = new AbortController().signal
        await rebuild(parts, { signal })

        const env = { PATH: process.env.PATH ?? '', NATS_URL: server.url, DATABASE_URL: database.url }
        const start = () => {
          const child = spawn(process.execPath, [launcher, 'replay', 'rebuild'], { env, stdio: 'ignore' })
          return { child, ended: new Promise<number | null>((done) => child.once('exit', done)) }
        }
        const startedAt = Date.now()
        assert.is(await start().ended, 0)
        const takes = Date.now() - startedAt

        for (let kill = 0; kill < KILLS; kill++) {
          const { child, ended } = start()
          const timer = setTimeout(() => child.kill('SIGKILL'), random() * takes)
          await ended
          clearTimeout(timer)
          const [rows] = await parts.db.select({ n: count() }).from(fractal)
          assert.is(rows?.n, EVENTS / 3)
          assert.is((await readCheckpoint(parts.db))?.seq, EVENTS)
        }
        assert.equal((await compareWithLog(parts)).differences, [])
        assert.is((await rebuild(parts, { signal })).differing, 0)
        assert.equal(await compareWithLog(parts), { seq: EVENTS, fractals: EVENTS / 3, differences: [] })
      }),
    ),
  ))

test.run()
