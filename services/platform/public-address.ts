import { isIP } from 'node:net'

/*
 * Which addresses the whole internet may reach, and which lead into somebody's own network: a server that sends to
 * wherever it is told must not be led there. Ranges: IANA's registries of special-purpose addresses.
 */

type Network = { bits: bigint; prefix: number; family: 4 | 6 }

const NOT_PUBLIC_4 = [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24'],
  ...['192.0.2.0/24', '192.31.196.0/24', '192.52.193.0/24', '192.88.99.0/24', '192.168.0.0/16', '192.175.48.0/24'],
  ...['198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/3'],
].map(networkOf)
/** Of version 6 only this is public, without what is carved out of it: of that, some would lead to an address of version 4. */
const GLOBAL_6 = networkOf('2000::/3')
const NOT_PUBLIC_6 = ['2001::/23', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20'].map(networkOf)
const MAPPED = networkOf('::ffff:0:0/96')

/** Whether the address, a literal of version 4 or 6, is one of the internet's. Anything else is not. */
export function isPublicAddress(text: string): boolean {
  const address = parse(text)
  if (!address) return false
  if (address.family === 4) return !NOT_PUBLIC_4.some((network) => holds(network, address))
  return holds(GLOBAL_6, address) && !NOT_PUBLIC_6.some((network) => holds(network, address))
}

/** Whether a network (`10.0.0.0/8`) or an address, as written in a list of targets, takes the address in. */
export function takesIn(target: string, text: string): boolean {
  if (!isNetwork(target)) return false
  const address = parse(text)
  return address !== null && holds(networkOf(target), address)
}

/** Whether it is a host name, an address or a network. */
export const isTarget = (text: string): boolean => isNetwork(text) || /^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/i.test(text)

function isNetwork(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128))
}

function networkOf(text: string): Network {
  const [address = '', prefix] = text.split('/')
  const parsed = literal(address)
  if (!parsed) throw new Error(`no network: ${text}`)
  return { ...parsed, prefix: prefix === undefined ? widthOf(parsed.family) : Number(prefix) }
}

function widthOf(family: 4 | 6): number {
  return family === 4 ? 32 : 128
}

type Address = Pick<Network, 'bits' | 'family'>

function holds(network: Network, { bits, family }: Address): boolean {
  if (network.family !== family) return false
  const rest = BigInt(widthOf(family) - network.prefix)
  return network.bits >> rest === bits >> rest
}

/** One of version 4 that is written as one of version 6 is the former. null where it is no address. */
function parse(text: string): Address | null {
  const address = literal(text)
  if (address?.family === 6 && holds(MAPPED, address)) return { bits: address.bits & 0xffffffffn, family: 4 }
  return address
}

function literal(text: string): Address | null {
  const [address = ''] = text.split('%') // a zone
  const family = isIP(address)
  if (family === 4) return { bits: bitsOf4(address), family }
  return family === 6 ? { bits: bitsOf6(address), family } : null
}

function bitsOf4(text: string): bigint {
  return text.split('.').reduce((bits, part) => (bits << 8n) | BigInt(part), 0n)
}

function bitsOf6(text: string): bigint {
  const last = text.slice(text.lastIndexOf(':') + 1)
  const hex = last.includes('.') ? text.slice(0, -last.length) + hexOf4(last) : text
  const [head = [], tail = []] = hex.split('::').map((half) => half.split(':').filter((part) => part !== ''))
  const zeros = Array<string>(8 - head.length - tail.length).fill('0')
  return [...head, ...zeros, ...tail].reduce((bits, part) => (bits << 16n) | BigInt(`0x${part}`), 0n)
}

function hexOf4(text: string): string {
  const bits = bitsOf4(text)
  return `${(bits >> 16n).toString(16)}:${(bits & 0xffffn).toString(16)}`
}
