import type { Server } from 'node:http'
import { createAdaptorServer } from '@hono/node-server'
import type { Hono } from 'hono'

/** Of a request's first line and headers. More than a URL may have (app.ts): what is longer Node refuses without a word. */
const MAX_HEADER_BYTES = 256 * 1024

/** The api behind a socket, which does not listen yet. */
export const createServer = ({ fetch }: Hono): Server =>
  createAdaptorServer({ fetch, serverOptions: { maxHeaderSize: MAX_HEADER_BYTES } }) as Server
