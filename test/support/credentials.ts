import { Buffer } from 'node:buffer'
import { nkeys } from 'nats'

/** A broker whose one account is signed for by an operator, so that users sign in with credentials files. */
export type Operator = {
  /** Lines of the broker's configuration. */
  config: string
  /** The text of a new user's credentials file. `expiresAt`: Unix seconds. */
  credentials(options?: { expiresAt?: number }): string
}

type KeyPair = ReturnType<typeof nkeys.createUser>

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
const encoded = (bytes: Uint8Array | string) => Buffer.from(bytes).toString('base64url')

export function createOperator(): Operator {
  const operator = nkeys.createOperator()
  const [system, account] = [nkeys.createAccount(), nkeys.createAccount()]
  const open = { subs: -1, data: -1, payload: -1 }
  const unlimited = { ...open, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 }
  const jetStream = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 }
  const limitsOf = (each: KeyPair) => (each === system ? unlimited : { ...unlimited, ...jetStream })
  const operatorToken = token(operator, operator, { type: 'operator' })
  const preloaded = [system, account].map(
    (each) => `${each.getPublicKey()}: ${token(operator, each, { type: 'account', limits: limitsOf(each) })}`,
  )
  return {
    config: `operator: ${operatorToken}
system_account: ${system.getPublicKey()}
resolver: MEMORY
resolver_preload { ${preloaded.join('\n')} }`,
    credentials({ expiresAt } = {}) {
      const user = nkeys.createUser()
      return `-----BEGIN NATS USER JWT-----
${token(account, user, { type: 'user', pub: {}, sub: {}, ...open }, expiresAt)}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
${text(user.getSeed())}
------END USER NKEY SEED------
`
    },
  }
}

function token(issuer: KeyPair, subject: KeyPair, nats: Record<string, unknown>, expiresAt?: number): string {
  const claims = {
    jti: subject.getPublicKey(),
    iat: Math.floor(Date.now() / 1000),
    iss: issuer.getPublicKey(),
    sub: subject.getPublicKey(),
    name: String(nats.type),
    nats: { ...nats, version: 2 },
    ...(expiresAt !== undefined && { exp: expiresAt }),
  }
  const head = encoded(JSON.stringify({ typ: 'JWT', alg: 'ed25519-nkey' }))
  const signed = `${head}.${encoded(JSON.stringify(claims))}`
  return `${signed}.${encoded(issuer.sign(new TextEncoder().encode(signed)))}`
}
