import process from 'node:process'
import { runProgram } from './program.ts'

// a reader that has seen enough (`faafo list | head`) is no error
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

const { argv, env, stdout, stderr } = process
const code = await runProgram(argv.slice(2), { env, stdout, stderr })
// a service that ended badly by itself has set it already
if (code !== 0) process.exitCode = code
