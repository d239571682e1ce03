import { readFileSync } from 'node:fs'
import {
  type Authenticator,
  credsAuthenticator,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from 'nats'
import { FaafoError, messageOf } from '../../events/errors.ts'
import type { Config } from './config.ts'
import type { Logger } from './logger.ts'

/**
 * How we sign in at the broker: with the credentials file, else the seed, else what stands in the URL of a server; undefined where
 * nothing does. Throws `invalid-config` where the file cannot be read, or what we are to sign with is no key.
 */
export function authenticatorOf(
  { url, creds, nkeySeed }: Config['broker'] & { url: string },
  log: Logger,
): Authenticator | undefined {
  const variable = creds ? 'NATS_CREDS' : nkeySeed ? 'NATS_NKEY_SEED' : 'NATS_URL'
  try {
    const authenticator = creds
      ? credsFileAuthenticator(creds, log)
      : nkeySeed
        ? nkeyAuthenticator(new TextEncoder().encode(nkeySeed))
        : inUrl(url)
    authenticator?.('')
    return authenticator
  } catch (error) {
    const reason = `${variable} is no good: ${messageOf(error)}`
    throw new FaafoError('invalid-config', `cannot sign in at the broker: ${reason}`, { cause: error })
  }
}

/** `nats://user:password@host`, or `nats://token@host`; of several servers the first that has either. The client library leaves them out. */
function inUrl(url: string): Authenticator | undefined {
  const [, user, password] = /:\/\/([^:@/,]+)(?::([^@/,]*))?@/.exec(url) ?? []
  if (user === undefined) return undefined
  const said = decodeURIComponent(user)
  return password === undefined
    ? tokenAuthenticator(said)
    : usernamePasswordAuthenticator(said, decodeURIComponent(password))
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
