import { readFileSync } from 'node:fs'
import { type Authenticator, credsAuthenticator, nkeyAuthenticator } from 'nats'
import { FaafoError, messageOf } from '../../events/errors.ts'
import type { Config } from './config.ts'
import type { Logger } from './logger.ts'

/**
 * How we sign in at the broker; undefined where it asks for nothing. Throws `invalid-config` where the credentials file
 * cannot be read, or what we are to sign with is no key.
 */
export function authenticatorOf({ creds, nkeySeed }: Config['broker'], log: Logger): Authenticator | undefined {
  const [variable, authenticator] = creds
    ? ['NATS_CREDS', credsFileAuthenticator(creds, log)]
    : ['NATS_NKEY_SEED', nkeySeed ? nkeyAuthenticator(new TextEncoder().encode(nkeySeed)) : undefined]
  try {
    authenticator?.('')
  } catch (error) {
    const reason = `${variable} is no good: ${messageOf(error)}`
    throw new FaafoError('invalid-config', `cannot sign in at the broker: ${reason}`, { cause: error })
  }
  return authenticator
}

/**
 * Reads the file at each connect, so that credentials may be replaced while we run. Where it cannot be read then, such
 * as in the middle of being replaced, those of the time before are taken: an authenticator that throws would close the
 * connection for good.
 */
function credsFileAuthenticator(path: string, log: Logger): Authenticator {
  let last: Authenticator | undefined
  let isReadable = true
  return (nonce) => {
    try {
      const current = credsAuthenticator(readFileSync(path))
      const auth = current(nonce)
      last = current
      isReadable = true
      return auth
    } catch (error) {
      if (!last) throw error
      if (isReadable)
        log.warn({ file: path, reason: messageOf(error) }, 'credentials unreadable, taking those of before')
      isReadable = false
      return last(nonce)
    }
  }
}
