import { type LookupAddress, lookup } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import { isPublicAddress, takesIn } from '../platform/public-address.ts'

/*
 * Where webhooks may be sent: over https to what is public, and to whatever WEBHOOK_TARGETS lists. A name is looked up by
 * the very connection that is made to its answer, so that it cannot be another one by then.
 */

/** Not sent, because of where it would have gone. */
export class Refusal extends Error {}

export type LookUp = (
  host: string,
  options: { all: true; family?: number; hints?: number },
  done: (error: Error | null, addresses: LookupAddress[]) => void,
) => void

export type Guard = {
  /** Throws Refusal where the URL by itself shows that it may not be sent there. */
  check(url: URL): void
  /** For a connection to that URL: answers with addresses that may all be connected to, else with a Refusal. */
  lookup(url: URL): LookupFunction
}

export function createGuard(targets: readonly string[], resolve: LookUp = (...args) => lookup(...args)): Guard {
  const isListed = ({ hostname }: URL) => targets.includes(hostname.toLowerCase())
  const isAllowed = (url: URL, address: string) =>
    isListed(url) ||
    targets.some((target) => takesIn(target, address)) ||
    (url.protocol === 'https:' && isPublicAddress(address))

  function requireAllowed(url: URL, address: string): void {
    if (isAllowed(url, address)) return
    const reason = isPublicAddress(address) ? 'it is not https' : `${address} is no public address`
    const named = url.hostname.replace(/^\[|\]$/g, '') === address ? '' : ` (${url.hostname})`
    throw new Refusal(`not sent: ${reason}${named}, and WEBHOOK_TARGETS does not list it`)
  }

  return {
    check(url) {
      if (url.protocol !== 'https:' && url.protocol !== 'http:')
        throw new Refusal(`not sent: ${url.protocol} is not https`)
      // The parser has made an address of every way to write one: 2130706433, 0177.1, 0x7f.1.
      const literal = url.hostname.replace(/^\[|\]$/g, '')
      if (isIP(literal) !== 0) requireAllowed(url, literal)
    },
    lookup: (url) => (host, options, callback) => {
      const { family, hints } = options
      const asked = {
        all: true as const,
        ...(typeof family === 'number' && { family }),
        ...(hints !== undefined && { hints }),
      }
      resolve(host, asked, (error, addresses) => {
        try {
          if (error) throw error
          for (const { address } of addresses) requireAllowed(url, address)
          const [first] = addresses
          if (!first) throw new Error(`${host} has no address`)
          if (options.all) callback(null, addresses)
          else callback(null, first.address, first.family)
        } catch (problem) {
          callback(problem as Error, '', 0)
        }
      })
    },
  }
}
