import { readFile } from 'node:fs/promises'
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

/** GET /problems/:code, where the `type` of a problem points to. */
export function getProblem(c: Context): Response {
  const code = c.req.param('code') ?? ''
  const described = describeProblem(code)
  if (described) return c.json(described)
  throw new FaafoError('not-found', `cannot describe the problem '${code.slice(0, 80)}': there is no such type`)
}
