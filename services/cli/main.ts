import process from 'node:process'
import { reasonOf } from './output.ts'
import { runProgram } from './program.ts'

// a reader that has seen enough (`faafo list | head`) is no error
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  process.stderr.write(`faafo: cannot write to standard output: ${reasonOf(error)}\n`)
  process.exit(1)
})

const { argv, env, stdout, stderr } = process
const code = await runProgram(argv.slice(2), { env, stdout, stderr })
// a service goes on once it has started; a command that failed may leave a connection behind that is still being tried
if (code !== 0) {
  process.exitCode = code
  stdout.write('', () => process.exit(code))
}
