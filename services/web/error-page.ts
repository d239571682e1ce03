import { html } from 'hono/html'
import { layout } from './layout.ts'

/** A problem, as a page for people. */
export const errorPage = ({ title, detail }: { title: string; detail: string }) =>
  layout(title, html`<h2>${title}</h2><p>${detail}</p><p><a href="/">Back to the pictures</a></p>`)
