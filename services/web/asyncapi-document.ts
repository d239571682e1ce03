import type { JsonSchema } from './json-schema.ts'

export type Ref = { readonly $ref: string }

export type Server = {
  /** With variables in braces. */
  readonly host: string
  readonly protocol: string
  readonly title: string
  readonly description: string
  readonly variables: Readonly<Record<string, { readonly description: string; readonly default?: string }>>
}

export type Channel = {
  /** A path, or a subject, with its parameters in braces. Null: whoever receives says it. */
  readonly address: string | null
  readonly servers: readonly Ref[]
  readonly summary: string
  readonly description?: string
  readonly parameters?: Readonly<Record<string, { readonly description: string }>>
  readonly messages: Readonly<Record<string, Ref>>
}

export type Operation = {
  readonly action: 'send'
  readonly channel: Ref
  readonly summary?: string
  readonly messages: readonly Ref[]
  readonly bindings?: {
    readonly http: { readonly method: 'GET' | 'POST'; readonly query?: JsonSchema; readonly bindingVersion: string }
  }
}

export type Message = {
  /** The same over every transport. */
  readonly name: string
  readonly title: string
  /** When it comes. */
  readonly summary: string
  readonly contentType: string
  readonly headers?: object
  readonly payload: JsonSchema
  readonly examples?: readonly { readonly headers?: object; readonly payload: unknown }[]
  /** Of events: where the JSON Schema of each version of their data is, the oldest first. */
  readonly 'x-data-schemas'?: readonly string[]
}

/** The part of AsyncAPI 3 that is used here. */
export type AsyncApiDocument = {
  readonly asyncapi: '3.0.0'
  readonly info: {
    readonly title: string
    readonly version: string
    readonly description: string
    readonly license: object
  }
  readonly defaultContentType: string
  readonly servers: Readonly<Record<string, Server>>
  readonly channels: Readonly<Record<string, Channel>>
  readonly operations: Readonly<Record<string, Operation>>
  readonly components: {
    readonly schemas: Readonly<Record<string, JsonSchema>>
    readonly messages: Readonly<Record<string, Message>>
  }
}
