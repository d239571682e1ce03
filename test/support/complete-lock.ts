import { readFileSync, writeFileSync } from 'node:fs'
import { completeLock, type LockFile, missingFrom } from './lock-file.ts'

/* `npm run lock:complete`: run it after every change of dependencies. */
const file = new URL('../../package-lock.json', import.meta.url)
const lock: LockFile = JSON.parse(readFileSync(file, 'utf8'))
const missing = missingFrom(lock)
if (missing.length > 0) writeFileSync(file, `${JSON.stringify(completeLock(lock), null, 2)}\n`)
console.log(`package-lock.json: ${missing.length} entries added`)
