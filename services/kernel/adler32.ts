/** Largest prime below 2¹⁶. */
const MODULUS = 65_521

/** Bytes after which the sums might no longer fit 32 bits. Source: zlib's NMAX. */
const RUN = 5_552

/** Adler-32 (RFC 1950) of these bytes. */
export function adler32(bytes: Uint8Array): number {
  let a = 1
  let b = 0
  for (let k = 0; k < bytes.length; ) {
    for (const end = Math.min(k + RUN, bytes.length); k < end; k++) {
      a += bytes[k] as number
      b += a
    }
    a %= MODULUS
    b %= MODULUS
  }
  return word(a, b)
}

/** Adler-32 of two runs of bytes, one after the other, from that of each and the length of the second. */
export function joinAdler32(first: number, second: number, secondLength: number): number {
  const [a1, b1, a2, b2] = [first & 0xffff, first >>> 16, second & 0xffff, second >>> 16]
  const a = (a1 + a2 + MODULUS - 1) % MODULUS
  const b = (b1 + b2 + (secondLength % MODULUS) * (a1 + MODULUS - 1)) % MODULUS
  return word(a, b)
}

const word = (a: number, b: number) => ((b << 16) | a) >>> 0
