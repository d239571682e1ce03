import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** Whether this is what was made of the sources, as in `npm test`, and not the sources themselves. */
const isCompiled = import.meta.url.endsWith('.js')

/** The package's root folder. */
export const root = rootAbove(dirname(fileURLToPath(import.meta.url)))

function rootAbove(folder: string): string {
  return existsSync(join(folder, 'package.json')) ? folder : rootAbove(dirname(folder))
}

export const launcher = join(root, 'services', 'cli', 'faafo.js')

/** A file of ours that this runtime can read, by its path from the root and without an extension: compiled, where we are. */
export const ourFile = (path: string): string =>
  isCompiled ? join(root, 'dist', `${path}.js`) : join(root, `${path}.ts`)

/** Flags with which this runtime reads files of ours. */
export const ourFlags: readonly string[] =
  'Deno' in globalThis ? ['run', '-A'] : isCompiled ? [] : ['--import', import.meta.resolve('tsx')]

/** Flags for what lives for seconds only: a third of the embedded database's processor time would go to optimizing its engine. */
export const unoptimized: readonly string[] = 'Deno' in globalThis ? [] : ['--liftoff-only']

/** How to run a file of ours: a command, and its first arguments. */
export const ourProgram = (path: string): [command: string, args: string[]] => [
  process.execPath,
  [...ourFlags, ourFile(path)],
]

export const ourUrl = (path: string): string => pathToFileURL(ourFile(path)).href
