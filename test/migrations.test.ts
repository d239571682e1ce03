import { execFile } from 'node:child_process'
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { root } from './support/project.ts'

test('the migrations lead to the schema: generating them again adds none', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'faafo-migrations-'))
  try {
    const out = join(folder, 'migrations')
    await cp(join(root, 'migrations'), out, { recursive: true })
    const before = await readdir(out)
    assert.ok(before.some((name) => name.endsWith('.sql')))
    const drizzleKit = fileURLToPath(new URL('bin.cjs', import.meta.resolve('drizzle-kit')))
    const generating = promisify(execFile)(
      process.execPath,
      // drizzle-kit takes `out` for a relative path even where it begins with a slash
      [
        drizzleKit,
        'generate',
        '--dialect=postgresql',
        '--schema=services/platform/schema.ts',
        `--out=${relative(root, out)}`,
      ],
      { cwd: root },
    )
    generating.child.stdin?.end()
    const { stdout, stderr } = await generating
    // where it would ask whether a column was renamed, it gives up and exits with 0 all the same
    assert.match(stdout, 'No schema changes, nothing to migrate', stderr)
    assert.equal(await readdir(out), before, 'run `npm run generate`')
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test.run()
