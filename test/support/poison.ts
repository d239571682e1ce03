/** A module to preload (`NODE_OPTIONS=--import …`): whatever process begins to render a picture of this width is killed. */
export const POISON = new URL('./poison.mjs', import.meta.url).href
export const POISON_WIDTH = 666
