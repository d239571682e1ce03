import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Context } from 'hono'
import { FaafoError } from '../../events/errors.ts'
import { describeProblem } from './problems.ts'

/** What the page at /docs loads, all of it from the package: no other host is asked. */
const assets = new Map([
  ['swagger-ui.css', 'text/css'],
  ['swagger-ui-bundle.js', 'text/javascript'],
  ['favicon-32x32.png', 'image/png'],
])
const START = `if (matchMedia('(prefers-color-scheme: dark)').matches) document.documentElement.classList.add('dark-mode')
SwaggerUIBundle({ url: '/openapi.json', dom_id: '#docs', deepLinking: true, tryItOutEnabled: true })
`

const require = createRequire(import.meta.url)
const folder = () => dirname(require.resolve('swagger-ui-dist/package.json'))

/** GET /docs/:file */
export async function getDocsFile(c: Context): Promise<Response> {
  const file = c.req.param('file') ?? ''
  const headers = { 'cache-control': 'public, max-age=3600', 'x-content-type-options': 'nosniff' }
  if (file === 'start.js') return c.body(START, 200, { ...headers, 'content-type': 'text/javascript' })
  const type = assets.get(file)
  if (type === undefined) throw new FaafoError('not-found', `cannot show '${c.req.path}': there is no such page`)
  return c.body(new Uint8Array(await readFile(join(folder(), file))), 200, { ...headers, 'content-type': type })
}

/** The folder events/shapes of this installation, beside the sources or the compiled ones. */
function shapesFolder(): string {
  let folder = import.meta.dirname
  while (!existsSync(join(folder, 'events', 'shapes'))) {
    const parent = dirname(folder)
    if (parent === folder) throw new Error('the folder events/shapes is missing from this installation')
    folder = parent
  }
  return join(folder, 'events', 'shapes')
}

/** GET /schemas/:file: JSON Schema of what the data of one version of a fractal's event is. It never changes but by fields that may be absent. */
export async function getSchema(c: Context): Promise<Response> {
  const file = c.req.param('file') ?? ''
  const names = await readdir(shapesFolder())
  const ours = names.filter((name) => name.startsWith('task-'))
  if (!ours.includes(file)) {
    throw new FaafoError(
      'not-found',
      `cannot show '${c.req.path.slice(0, 80)}': there are ${ours.map((name) => `/schemas/${name}`).join(', ')}`,
    )
  }
  const shape = JSON.parse(await readFile(join(shapesFolder(), file), 'utf8'))
  return c.json({ $id: `/schemas/${file}`, ...shape }, 200, { 'content-type': 'application/schema+json' })
}

/** GET /problems/:code, where the `type` of a problem points to. */
export function getProblem(c: Context): Response {
  const code = c.req.param('code') ?? ''
  const described = describeProblem(code)
  if (described) return c.json(described)
  throw new FaafoError('not-found', `cannot describe the problem '${code.slice(0, 80)}': there is no such type`)
}
