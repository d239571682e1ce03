import * as assert from 'uvu/assert'
import { type ErrorCode, FaafoError } from '../../events/errors.ts'
import { type Client, createClient } from '../../services/cli/client.ts'
import { json, type Script, type Seen, withScriptedApi } from './scripted-api.ts'

/** Of a fractal that may be requested. */
export const parameters = { width: 64, height: 48, iterations: 100, xa: -2, xb: 2, ya: -1.5, yb: 1.5 }

/** Gives `use` a client of an api that answers as `script` says. */
export const withClient = (script: Script, use: (client: Client, seen: Seen[], url: string) => Promise<void>) =>
  withScriptedApi(script, (url, seen) => use(createClient({ endpoint: url }), seen, url))

/** The error that `run` ends with, which has this code. */
export async function failure(code: ErrorCode, run: () => Promise<unknown>): Promise<FaafoError> {
  try {
    await run()
  } catch (error) {
    if (!(error instanceof FaafoError)) throw error
    assert.is(error.code, code, error.message)
    return error
  }
  throw new Error(`expected ${code}, nothing was thrown`)
}

/** Gives the answers one after the other, the last for ever. */
export const inTurn = (...answers: ((...args: Parameters<Script>) => Response)[]): Script => {
  let next = 0
  return (...args) => answers[Math.min(next++, answers.length - 1)]?.(...args) ?? json({}, 500)
}
