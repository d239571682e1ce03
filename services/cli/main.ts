import process from 'node:process'
import { reasonOf } from './output.ts'
import { runProgram } from './program.ts'

// A reader that has seen enough (`faafo list | head`) is no error; what it means to a command is told to its session.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') return
  process.stderr.write(`faafo: cannot write to standard output: ${reasonOf(error)}\n`)
  process.exit(1)
})
// Nobody can be told.
process.stderr.on('error', () => {})

const { argv, env, stdout, stderr } = process
const code = await runProgram(argv.slice(2), { env, stdout, stderr })
// a service goes on once it has started; a command that failed may leave a connection behind that is still being tried
if (code !== 0) {
  process.exitCode = code
  // What was written is waited for, but by whoever interrupts us: its reader may never come.
  if (code > 128) process.exit()
  stdout.write('', () => process.exit())
}
