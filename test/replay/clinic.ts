import { isOf } from '../../services/platform/checkpoint.ts'
import type { Db } from '../../services/platform/database.ts'
import { createLogger } from '../../services/platform/logger.ts'
import { nextModel } from '../../services/platform/read-model.ts'
import { checkpoint } from '../../services/platform/schema.ts'
import { pause } from '../../services/platform/shutdown.ts'
import { renderQueue } from '../../services/platform/work-queue.ts'
import { beginCopy } from '../../services/projector/copies.ts'
import type { CheckName, Diagnosis } from '../../services/replay/doctor/diagnosis.ts'
import { type DoctorOptions, doctor, type Examination } from '../../services/replay/doctor/doctor.ts'
import type { DoctorParts } from '../../services/replay/doctor/patient.ts'
import { fileStore } from '../../services/storage/file-store.ts'
import type { ImageStore } from '../../services/storage/image-store.ts'
import { createRenderPool } from '../../services/worker/render-pool.ts'
import { runWorker } from '../../services/worker/worker.ts'
import { type Ended, runHere } from '../cli/run-program.ts'
import { type Projection, requested, withProjection } from '../projector/with-projection.ts'
import { withPostgres } from '../support/database.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'

export type Clinic = Projection & {
  images: ImageStore
  imagesDir: string
  doctor(options?: Partial<DoctorOptions>, parts?: Partial<DoctorParts>): Promise<Examination>
  /** What is not well now, durability apart: of an old broker there is always something to say. */
  ailing(options?: Partial<DoctorOptions>): Promise<Diagnosis[]>
  /** Waits until nothing is amiss. */
  healthy(): Promise<void>
  /** Waits until exactly this check has something to say, and gives that. */
  finding(check: CheckName): Promise<Diagnosis>
  /** Runs the command that a remedy ends with. */
  carryOut(finding: Diagnosis): Promise<Ended>
  /** A worker in this process, until the returned function is called. */
  startWorker(parts?: { images?: ImageStore }): () => Promise<void>
  /** A request, and the wait until its picture is there. */
  request(): Promise<string>
  completed(uuid: string): Promise<void>
}

/** Gives `use` a system of which it starts the services that it wants. */
export const withClinic = (use: (clinic: Clinic) => Promise<void>): Promise<void> =>
  withTempDir((imagesDir) =>
    withProjection(withPostgres, async (p) => {
      const ends = new Set<() => Promise<void>>()
      try {
        await use(clinicOf(p, imagesDir, ends))
      } finally {
        for (const end of ends) await end()
      }
    }),
  )

function clinicOf(p: Projection, imagesDir: string, ends: Set<() => Promise<void>>): Clinic {
  const images = fileStore(imagesDir)
  const settings = { replicas: undefined, syncInterval: 'always' }
  const folders = { data: imagesDir, images: imagesDir }
  const { signal } = new AbortController()
  const examine: Clinic['doctor'] = (options = {}, parts = {}) =>
    doctor({ ...p.parts, images, settings, folders, ...parts }, { signal, ...options })
  const ailing: Clinic['ailing'] = async (options) =>
    (await examine(options)).findings.filter(
      ({ check, severity }) => check !== 'durability' && (severity === 'wrong' || severity === 'warning'),
    )
  const env = { NATS_URL: p.server.url, DATABASE_URL: p.database.url, STORAGE_URL: `file:${imagesDir}` }
  return {
    ...p,
    images,
    imagesDir,
    doctor: examine,
    ailing,
    async healthy() {
      let last: Diagnosis[] = []
      await until(
        async () => {
          last = await ailing()
          return last.length === 0
        },
        { what: () => `nothing is amiss: ${JSON.stringify(last)}`, withinMs: 60_000 },
      )
    },
    async finding(check) {
      let last: Diagnosis[] = []
      await until(
        async () => {
          last = await ailing()
          return last.length === 1 && last[0]?.check === check
        },
        { what: () => `${check} alone is found: ${JSON.stringify(last)}`, withinMs: 60_000 },
      )
      return last[0] as Diagnosis
    },
    carryOut({ remedy }) {
      const command = /faafo (replay [a-z0-9 -]+|migrate)$/.exec(remedy ?? '')?.[1]
      if (command === undefined) throw new Error(`no command: ${remedy}`)
      return runHere(command.split(' '), '', env)
    },
    startWorker(parts = {}) {
      const stop = new AbortController()
      const logger = createLogger('test', { logLevel: 'silent' })
      const pool = createRenderPool(1)
      const { broker, log } = p.parts
      const running = runWorker(
        {
          ...{ broker, log, images, queue: renderQueue(broker, logger), render: pool.render },
          ...{ threads: 1, name: 'here', logger, ...parts },
        },
        stop.signal,
      )
      const end = async () => {
        ends.delete(end)
        stop.abort()
        await running
        await pool.close()
      }
      ends.add(end)
      return end
    },
    async request() {
      const event = requested()
      await p.append(event)
      return event.fractal
    },
    completed: (uuid) =>
      until(
        () =>
          p.parts.log.load(uuid).then(
            ({ status }) => status === 'completed',
            () => false, // a broker under load, or one that comes back
          ),
        { what: `${uuid} is completed`, withinMs: 60_000 },
      ),
  }
}

/** While `use` runs, a new table is built, event by event; it is left where it is then. */
export async function whileBuilt(db: Db, use: () => Promise<void>): Promise<void> {
  await beginCopy(db, nextModel)
  const end = new AbortController()
  const building = (async () => {
    for (let seq = 1; !end.signal.aborted; seq++) {
      await db.update(checkpoint).set({ seq }).where(isOf(nextModel))
      await pause(50, end.signal)
    }
  })()
  try {
    await use()
  } finally {
    end.abort()
    await building
  }
}
