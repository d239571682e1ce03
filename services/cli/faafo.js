#!/usr/bin/env node
// Committed, so that `npx faafo` finds a program before the first build.
import { existsSync } from 'node:fs'
import process from 'node:process'

const main = new URL('../../dist/services/cli/main.js', import.meta.url)

if (existsSync(main)) {
  await import(main.href)
} else {
  process.stderr.write('cannot start faafo: it is not built yet; run `npm ci` or `npm run build` in its folder first\n')
  process.exitCode = 1
}
