import { readFile, writeFile } from 'node:fs/promises'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import asc from 'assemblyscript/asc'

/*
 * Compiles julia.ts (AssemblyScript) to WebAssembly and writes it as a module of the project, so that Node, Deno and
 * browsers load it alike: no file to find, nothing to wait for.
 */

const here = (name) => fileURLToPath(new URL(name, import.meta.url))
const read = (name) => readFile(here(name), 'utf8').catch(() => null)

let binary
const { error, stderr } = await asc.main(
  [
    'julia.ts',
    '--outFile',
    'julia.wasm',
    '-O3',
    '--noAssert',
    '--runtime',
    'stub',
    '--enable',
    'simd',
    '--initialMemory',
    '12',
  ],
  { readFile: read, writeFile: (_, contents) => (binary = contents), listFiles: () => [] },
)
if (error) {
  process.stderr.write(stderr.toString())
  process.exit(1)
}

await writeFile(
  here('../julia-wasm.generated.ts'),
  `/** The WebAssembly module of assembly/julia.ts, in base64. Made by assembly/build.js. */
export const juliaWasm =
  '${Buffer.from(binary).toString('base64')}'
`,
)
