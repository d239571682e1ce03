import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from './project.ts'
/** A module to preload (`NODE_OPTIONS=--import …`): whatever process begins to render a picture of this width is killed. */
export const POISON = pathToFileURL(join(root, 'test/support/poison.mjs')).href
export const POISON_WIDTH = 666
