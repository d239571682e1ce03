import { once } from 'node:events'
import process from 'node:process'
import { holdDataDir } from '../../services/up/data-dir.ts'

/* Waits for a line, then tries to hold the folder named by its argument, says whether it did, and stays until killed. */

process.stdin.on('end', () => process.exit())
console.log('WAITING')
await once(process.stdin, 'data')
await holdDataDir(process.argv[2] ?? '').then(
  () => console.log('HELD'),
  (error) => console.log(error.code),
)
console.log('DONE')
