import { fsyncSync } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { NodeFS } from '@electric-sql/pglite/nodefs'

/** The parts of the engine's file layer (Emscripten's NODEFS) that we use. `nfd` is the descriptor in this process. */
type FileLayer = {
  stream_ops: { fsync?: (stream: { nfd: number }) => number }
  tryFSOperation(operation: () => void): void
}

/**
 * What the engine needs to be told so that a power cut leaves what was committed: PGlite's own parameters switch
 * flushing off (`-F`), and of the ways to flush the log its file layer does nothing for `fdatasync`, the default.
 */
export const flushingParams = (params: readonly string[]): string[] => [
  ...params.filter((param) => param !== '-F'),
  '-c',
  'wal_sync_method=fsync',
]

/** The engine's files in a folder. PGlite's own layer answers fsync and does nothing; this one calls `sync`. */
export function flushedFolder(folder: string, sync: (descriptor: number) => void = fsyncSync): NodeFS {
  const files = new NodeFS(folder)
  const init = files.init.bind(files)
  files.init = async (...args) => {
    const { emscriptenOpts } = await init(...args)
    const addFsync = (engine: object) => {
      const { NODEFS } = engine as { NODEFS: FileLayer }
      NODEFS.stream_ops.fsync = ({ nfd }) => {
        NODEFS.tryFSOperation(() => sync(nfd))
        return 0
      }
    }
    return { emscriptenOpts: { ...emscriptenOpts, preRun: [...(emscriptenOpts.preRun ?? []), addFsync] } }
  }
  return files
}

/** Flushes every file and folder below `folder`: a database that was just made was written without. */
export async function flushFolder(folder: string): Promise<void> {
  for (const name of ['', ...(await readdir(folder, { recursive: true }))]) {
    const file = await open(join(folder, name))
    try {
      await file.sync()
    } finally {
      await file.close()
    }
  }
}
