import { cp, rename, rm } from 'node:fs/promises'
import { generateLog } from '../support/generated-log.ts'
import type { Projection } from './with-projection.ts'

/** Keeps a copy of the broker's folder, lets the log grow by 600 projected events, and puts the copy in its place. */
export async function putOlderLogBack(p: Projection): Promise<{ putRightLogBack(): Promise<void> }> {
  const { storeDir } = p.server
  await p.server.stop()
  await cp(storeDir, `${storeDir}-older`, { recursive: true })
  await p.server.restart()
  await generateLog(p.server.url, 600)
  await p.caughtUp()
  await p.server.stop()
  await rename(storeDir, `${storeDir}-right`)
  await rename(`${storeDir}-older`, storeDir)
  await p.server.restart()
  return {
    async putRightLogBack() {
      await p.server.stop()
      await rm(storeDir, { recursive: true })
      await rename(`${storeDir}-right`, storeDir)
      await p.server.restart()
    },
  }
}
